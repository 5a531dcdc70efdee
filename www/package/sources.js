// What a caller names as model or scan, as the worker is told of it.
import { UnetrError } from './errors.js';
import { memory } from './store.js';
import { here } from './place.js';

/** @import { ModelSource, Scan, SeriesOptions, Volume } from './types.js' */

/**
 * @typedef {object} Source Where the worker reads a model.
 * @property {string} [url]
 * @property {Blob} [blob] The file itself, also where the page still holds what it once loaded from `url`.
 * @property {FolderSource} [folder]
 *
 * @typedef {{ name: string, files: NamedBlob[] }} FolderSource Files that are a model together; their names are paths in it.
 *
 * @typedef {{ name: string, blob: Blob }} NamedBlob
 *
 * @typedef {object} ScanFiles
 * @property {NamedBlob[]} files
 * @property {string[]} series
 * @property {number[]} acquisition
 *
 * @typedef {{ voxels: import('./grid.js').Voxels }} ScanVoxels
 */

/** What lies beside a model in folders of other programs, and is none of it: scans, pictures, logs. */
const BESIDE = /\.(nii|gz|npz|npy|b2nd|png|jpe?g|gif|svg|pdf|log|csv|tsv|pyc|DS_Store)$|events\.out\.tfevents|(^|\/)(__MACOSX|\.git)\//i;
/** Checkpoints of a run on its way, where the last one is there too. */
const EARLIER = /checkpoint_(best|latest)\.pth$/;

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
  if (Array.isArray(model) && model.length === 1) return modelSource(model[0], cache);
  if (typeof model === 'object' && model !== null) return { folder: folderOf(model) };
  throw new UnetrError('bad-input', 'the model must be a URL, a File, an ArrayBuffer or several files');
}

/**
 * What is said of one file cannot be said of several.
 * @param {Source} source
 * @param {{ prefix?: string, sha256?: string }} options
 */
export function checkSource({ folder }, { prefix, sha256 }) {
  const given = prefix !== undefined ? 'prefix' : sha256 !== undefined && 'sha256';
  if (folder && given) throw new UnetrError('bad-input', `options.${given} is for a model of one file, and this one is of ${folder.files.length}: leave it out`);
}

/**
 * @param {File[] | Record<string, Blob | ArrayBuffer | ArrayBufferView>} files
 * @returns {FolderSource}
 */
function folderOf(files) {
  const listed = Array.isArray(files) ? files.map((file) => /** @type {const} */ ([pathOf(file), file])) : Object.entries(files);
  if (listed.length === 0 || !listed.every(([path, file]) => path && isFile(file))) {
    throw new UnetrError('bad-input', 'the model must be a URL, a File, an ArrayBuffer or several files, each with a name: File[] or {path: File}');
  }
  const paths = new Set(listed.map(([path]) => path));
  const needed = listed.filter(([path]) => !BESIDE.test(path) && !(EARLIER.test(path) && paths.has(path.replace(EARLIER, 'checkpoint_final.pth'))));
  const [top] = listed[0][0].split('/');
  const below = listed.every(([path]) => path.startsWith(`${top}/`));
  const inside = (/** @type {string} */ path) => (below ? path.slice(top.length + 1) : path);
  return { name: below ? top : '', files: needed.map(([path, file]) => ({ name: inside(path), blob: asBlob(file) })) };
}

/** @param {File} file */
function pathOf(file) {
  return file.webkitRelativePath || nameOf(file);
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
    return { voxels: voxels(/** @type {Volume} */ (volume)) };
  }
  throw new UnetrError('bad-input', 'the scan must be a File, several Files, an ArrayBuffer or {data, dims, channels, affine}');
}

/**
 * Checks what the worker would not notice.
 * @param {Volume} volume
 * @returns {import('./grid.js').Voxels}
 */
function voxels({ data, channels = 1, dims, affine, contiguous = 'z', slope = 1, intercept = 0 }) {
  if (data instanceof DataView || data instanceof BigInt64Array || data instanceof BigUint64Array) {
    throw new UnetrError('bad-input', `the scan's data is a ${data.constructor.name}: give a typed array of numbers`);
  }
  if (!['x', 'z'].includes(contiguous)) throw new UnetrError('bad-input', `the scan's contiguous is ${JSON.stringify(contiguous)}: it must be "x" or "z"`);
  for (const [name, value] of Object.entries({ slope, intercept })) {
    if (!Number.isFinite(value)) throw new UnetrError('bad-input', `the scan's ${name} is ${value}: it must be a finite number`);
  }
  return { data: whole(data), channels, dims: Array.from(dims), affine: Array.from(affine), contiguous, slope, intercept };
}

/**
 * Typed arrays are converted by the worker, so that the page does not stand still; a part of a buffer would take the rest with it.
 * @param {ArrayLike<number>} data
 * @returns {import('./grid.js').NumberArray}
 */
function whole(data) {
  if (!ArrayBuffer.isView(data)) return Float32Array.from(data);
  const view = /** @type {import('./grid.js').NumberArray} */ (data);
  return view.byteLength === view.buffer.byteLength ? view : view.slice();
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
  return typeof file === 'object' && file !== null && 'name' in file && typeof file.name === 'string' ? file.name : '';
}

/** @param {NamedBlob} file */
function isImage({ name }) {
  return /\.img(\.gz)?$/i.test(name);
}

/** @param {NamedBlob} file */
function stem({ name }) {
  return name.replace(/\.(hdr|img)(\.gz)?$/i, '');
}
