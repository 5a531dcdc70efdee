// What a caller names as model or scan, as the worker is told of it.
import { UnetrError } from './errors.js';
import { memory } from './store.js';
import { here } from './workers.js';

/** @import { ModelSource, Scan, SeriesOptions, Volume } from './types.js' */

/**
 * @typedef {object} Source Where the worker reads a model.
 * @property {string} [url]
 * @property {Blob} [blob] The file itself, also where the page still holds what it once loaded from `url`.
 *
 * @typedef {{ name: string, blob: Blob }} NamedBlob
 *
 * @typedef {object} ScanFiles
 * @property {NamedBlob[]} files
 * @property {string[]} series
 * @property {number[]} acquisition
 *
 * @typedef {{ voxels: { data: Float32Array, channels: number, dims: number[], affine: number[][] } }} ScanVoxels
 */

/**
 * @param {ModelSource} model
 * @param {unknown} [cache]
 * @returns {Source}
 */
export function modelSource(model, cache) {
  if (model instanceof Blob) return { blob: model };
  // A Blob can be read again should the worker have to be replaced; a transferred buffer could not.
  if (model instanceof ArrayBuffer || ArrayBuffer.isView(model)) return { blob: asBlob(model) };
  if (typeof model === 'string' || model instanceof URL) {
    if (!URL.canParse(model, here())) throw new UnetrError('bad-input', `options.model is no URL: ${model}`);
    const url = new URL(model, here()).href;
    const kept = cache !== 'none' && cache !== false && memory.get(url);
    return kept ? { url, blob: kept } : { url };
  }
  throw new UnetrError('bad-input', 'the model must be a URL, a File or an ArrayBuffer');
}

/** @param {Record<string, unknown> | string | null} [fields] */
export function packageText(fields) {
  if (fields === undefined || fields === null) return undefined;
  return typeof fields === 'string' ? fields : JSON.stringify(fields);
}

/**
 * @param {Scan} scan
 * @param {SeriesOptions} [options]
 * @returns {ScanFiles | ScanVoxels}
 */
export function scanInput(scan, { series = [], acquisition = [] } = {}) {
  const all = Array.isArray(scan) ? scan : [scan];
  if (all.length > 0 && all.every(isFile)) {
    const files = all.map((f) => ({ name: nameOf(f), blob: asBlob(f) }));
    // A .img follows its .hdr whatever order they were dropped in.
    if (files.some(isImage)) {
      const place = (/** @type {NamedBlob} */ file) => files.findIndex((f) => stem(f) === stem(file));
      const placed = files.map((file) => ({ file, at: place(file) }));
      placed.sort((a, b) => a.at - b.at || Number(isImage(a.file)) - Number(isImage(b.file)));
      files.splice(0, files.length, ...placed.map(({ file }) => file));
    }
    return { files, series: [series].flat(), acquisition: [acquisition].flat() };
  }
  const volume = /** @type {Partial<Volume>} */ (scan);
  if (volume?.data && volume.dims && volume.affine) {
    const data = volume.data instanceof Float32Array ? volume.data : Float32Array.from(volume.data);
    return { voxels: { data, channels: volume.channels ?? 1, dims: Array.from(volume.dims), affine: Array.from(volume.affine) } };
  }
  throw new UnetrError('bad-input', 'the scan must be a File, several Files, an ArrayBuffer or {data, dims, channels, affine}');
}

/**
 * @param {unknown} given
 * @returns {given is Blob | ArrayBuffer | Uint8Array}
 */
function isFile(given) {
  return given instanceof Blob || given instanceof ArrayBuffer || (ArrayBuffer.isView(given) && !('dims' in given));
}

/** @param {Blob | ArrayBuffer | ArrayBufferView} file */
function asBlob(file) {
  return file instanceof Blob ? file : new Blob([/** @type {BlobPart} */ (file)]);
}

/** @param {object} file */
function nameOf(file) {
  return 'name' in file && typeof file.name === 'string' ? file.name : '';
}

/** @param {NamedBlob} file */
function isImage({ name }) {
  return /\.img(\.gz)?$/i.test(name);
}

/** @param {NamedBlob} file */
function stem({ name }) {
  return name.replace(/\.(hdr|img)(\.gz)?$/i, '');
}
