// Models of several files: an nnU-Net results folder, a MONAI bundle, or a zip of one.
import { unzip } from 'fflate';
import { pathOf } from './files.js';

/** @typedef {{name: string, model: File | Record<string, File>, bytes: number}} SeveralFiles */

const ZIP = /\.zip$/i;
/** What only these folders hold. */
const MARKS = [/(^|\/)plans\.json$/i, /(^|\/)configs\/(inference|metadata|train)\.(json|ya?ml)$/i, /(^|\/)checkpoint_(final|best|latest)\.pth$/i];

/** Whether files under these paths are a model together. @param {string[]} paths */
export function isModelFolder(paths) {
  return paths.length > 1 && paths.some((path) => MARKS.some((mark) => mark.test(path)));
}

/** The paths in a zip; none where it is no zip. @param {File} file @returns {Promise<string[]>} */
async function pathsInZip(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  /** @type {string[]} */
  const paths = [];
  const note = (/** @type {{name: string}} */ entry) => {
    paths.push(entry.name);
    return false;
  };
  return new Promise((resolve) => {
    unzip(bytes, { filter: note }, (error) => resolve(error ? [] : paths));
  });
}

/**
 * The model that these files are together, or null where they are scans, or a model of one file.
 * @param {File[]} files
 * @returns {Promise<SeveralFiles | null>}
 */
export async function severalFiles(files) {
  const paths = files.map(pathOf);
  if (isModelFolder(paths)) {
    const [top] = paths[0].split('/');
    const below = paths.every((path) => path.startsWith(`${top}/`));
    return { name: below ? top : 'model', model: Object.fromEntries(files.map((file, i) => [paths[i], file])), bytes: files.reduce((sum, file) => sum + file.size, 0) };
  }
  const [zip] = files;
  if (files.length !== 1 || !ZIP.test(zip.name) || !isModelFolder(await pathsInZip(zip))) return null;
  return { name: zip.name.replace(ZIP, ''), model: zip, bytes: zip.size };
}
