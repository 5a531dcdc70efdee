// What people drop and choose: files, several files, folders, archives; and which of them are what.
import { unzip } from 'fflate';

const NOTES = /(\.(json|tsv|csv|txt|md|bvals?|bvecs?)|^(README|CHANGES|LICENSE))$/i;
const VOLUME = /\.(nii|hdr|img|nrrd|nhdr|mha|mhd|mgh|mgz)(\.gz)?$/i;
const MODEL = /\.(safetensors|pt|pth|ckpt|bin)$/i;
/** Longer files cannot be read into one buffer by a browser. */
export const LONGEST = 2 ** 31 - 1;

/** @param {any} entry @param {string} folder @returns {Promise<File[]>} */
async function walk(entry, folder) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return [inFolder(file, folder, entry.fullPath.slice(1))];
  }
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A reader gives a hundred entries at a time.
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) return files;
    for (const inner of some) files.push(...await walk(inner, entry.name));
  }
}

const folders = new WeakMap();
/** @type {WeakMap<File, string>} */
const dropped = new WeakMap();

/** @param {File} file @param {string} folder @param {string} path */
function inFolder(file, folder, path) {
  if (folder) folders.set(file, folder);
  dropped.set(file, path);
  return file;
}

/** Where a file lies in what was dropped or chosen. @param {File} file */
export function pathOf(file) {
  return dropped.get(file) ?? (file.webkitRelativePath || file.name);
}

/** The folder that a file was dropped or chosen in, '' if it was none. @param {File} file */
export function folderOf(file) {
  return folders.get(file) ?? file.webkitRelativePath?.split('/').at(-2) ?? '';
}

/** All files of a drop, those in folders too, without hidden ones. @param {DataTransfer} transfer */
export async function droppedFiles(transfer) {
  const plain = [...transfer.files];
  // The list is emptied as soon as the event is over.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((e) => e !== null && e !== undefined);
  const files = entries.length > 0 ? (await Promise.all(entries.map((e) => walk(e, '')))).flat() : plain;
  return files.filter(visible);
}

/** Systems hide files of their own in folders. @param {File} file */
export function visible({ name }) {
  return !name.startsWith('.');
}

/** The files with what archives hold in their place. @param {File[]} files @returns {Promise<File[]>} */
export async function unpacked(files) {
  const all = await Promise.all(files.map(async (file) => {
    if (!/\.zip$/i.test(file.name)) return [file];
    const bytes = new Uint8Array(await file.arrayBuffer());
    /** @type {Record<string, Uint8Array>} */
    const entries = await new Promise((resolve, reject) => {
      unzip(bytes, (error, found) => (error ? reject(new Error(`${file.name} cannot be unpacked (${error.message}): unpack it and drop the folder`)) : resolve(found)));
    });
    const stem = file.name.replace(/\.zip$/i, '');
    return Object.entries(entries)
      .filter(([path, content]) => content.length > 0 && !path.startsWith('__MACOSX/'))
      .map(([path, content]) => {
        const parts = path.split('/');
        return inFolder(new File([/** @type {Uint8Array<ArrayBuffer>} */ (content)], parts.at(-1) ?? path), parts.at(-2) ?? stem, path);
      })
      .filter(visible);
  }));
  return all.flat();
}

/**
 * A model or checkpoint, the JSON beside it, and whatever else there is as scans.
 * @param {File[]} files
 */
export function sort(files) {
  /** @param {RegExp} pattern */
  const is = (pattern) => (/** @type {File} */ f) => pattern.test(f.name);
  const model = files.find(is(MODEL));
  const fields = model && files.find(is(/\.json$/i));
  let scans = files.filter((f) => f !== model && f !== fields);
  // Beside scans folders hold notes and tables, as those of BIDS do. What else there is, the reader names.
  if (scans.length > 1 && scans.some(is(VOLUME))) scans = scans.filter((f) => !is(NOTES)(f));
  return { model, fields, scans };
}

/** What is no volume by its name: DICOM, if anything. @param {File[]} files */
export function isSeries(files) {
  return !files.some((f) => VOLUME.test(f.name));
}

/** The two halves of a volume, and a header with its data, are one. @param {File[]} files @returns {File[][]} */
export function volumes(files) {
  /** @type {Map<string, File[]>} */
  const groups = new Map();
  for (const file of files) {
    const stem = `${folderOf(file)}/${file.name.replace(/\.(hdr|img|mhd|raw|nhdr)(\.gz)?$/i, '')}`;
    groups.set(stem, [...(groups.get(stem) ?? []), file]);
  }
  return [...groups.values()];
}

/** The beginning of the names of what is saved. @param {File[]} files */
export function stemOf(files) {
  const [first] = files;
  // The files of a series have numbers for names; their folder has one that tells.
  const folder = isSeries(files) && folderOf(first);
  return folder || first.name.replace(/\.(nii|hdr|img|dcm|nrrd|mha|mgz|mgh)?(\.gz)?$/i, '');
}

/** A name for people. @param {File[]} files */
export function nameOf(files) {
  const [first] = files;
  if (isSeries(files)) {
    const folder = folderOf(first);
    if (folder && files.length > 1) return `${folder} (${files.length} files)`;
  }
  return files.length > 4 ? `${first.name} and ${files.length - 1} more` : files.map((f) => f.name).join(', ');
}

/** A file of this site, by its address. @param {string} address */
export async function fetchFile(address) {
  const url = sameOrigin(address);
  const response = await fetch(url).catch((error) => { throw new Error(`${address}: ${error.message}`); });
  if (!response.ok) throw new Error(`${address}: HTTP ${response.status}`);
  return new File([await response.blob()], decodeURIComponent(url.pathname.split('/').pop() ?? address));
}

/** The page talks to nobody else, and its content security policy would not let it. @param {string} address */
export function sameOrigin(address) {
  const url = new URL(address, location.href);
  if (url.origin !== location.origin) {
    throw new Error(`${address}: only files of this site are opened by address; save the file and drop it here`);
  }
  return url;
}
