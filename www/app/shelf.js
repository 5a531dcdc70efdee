// Scans of a list and their results, and models that were imported, kept in this browser until they are deleted.
import { Records } from './database.js';

/**
 * @typedef {object} Kept
 * @property {number} id
 * @property {string} name
 * @property {File[]} files
 * @property {string | string[]} [series]
 * @property {'waiting' | 'done' | 'failed'} state
 * @property {string} [error]
 * @property {string} [model]
 * @property {string} [sha256] of the model
 * @property {import('unetr-wgpu').Label[]} [table]
 * @property {import('unetr-wgpu').LabelStatistics[]} [statistics]
 * @property {string} [csv]
 * @property {Uint8Array<ArrayBuffer>} [nifti]
 * @property {string[]} [warnings]
 *
 * @typedef {object} KeptModel
 * @property {number} id
 * @property {string} name
 * @property {File} file the package
 * @property {string} [licence]
 * @property {string} [version]
 */

/** @type {Records<Kept>} */
export const scans = new Records('unetr-scans', 'scans');
/** @type {Records<KeptModel>} */
export const models = new Records('unetr-models', 'models');
