// Errors in the words of whoever opened the file, with what to do. What the reader said is kept behind them.
import { LONGEST } from './files.js';

/** @typedef {{name: string, size: number}} Named A file, or a folder. */

/** What files are that people drop by mistake, by their names. @type {[RegExp, string][]} */
const KINDS = [
  [/\.(jpe?g|png|gif|webp|bmp|tiff?|heic)$/i, 'a picture'],
  [/\.(txt|md|docx?|odt|rtf|pdf|html?)$/i, 'a document'],
  [/\.(csv|tsv|xlsx?|json|xml)$/i, 'a table or a record'],
  [/\.(mp4|mov|avi|mkv|webm)$/i, 'a film'],
  [/\.(tar|tgz|7z|rar|bz2|xz)$/i, 'an archive'],
  [/\.(stl|obj|ply|glb|gltf|vtk|vtp)$/i, 'a surface'],
  [/\.(py|ipynb|m|sh|js)$/i, 'a program'],
];
const FORMATS = 'NIfTI (.nii, .nii.gz), DICOM, NRRD, MetaImage and MGH files';

/** @param {string} name */
function kindOf(name) {
  return KINDS.find(([pattern]) => pattern.test(name))?.[1];
}

/** @param {string} text */
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/**
 * An error of opening these files as a sentence for people.
 * @param {{code?: string, message: string, name?: string}} error
 * @param {Named[]} [files]
 */
export function explain(error, files = []) {
  const { message } = error;
  const long = files.find((f) => f.size > LONGEST);
  if (long) {
    return `${long.name} has ${(long.size / 1e9).toFixed(1)} GB, and a browser reads no file over 2.1 GB in one piece. Crop or resample it, or use the command line: unetr segment.`;
  }
  if (error.code === 'out-of-memory' || /needs \d+ bytes/.test(message)) {
    return 'There is not enough memory for this scan and model. Close other tabs, take a smaller or coarser scan, or use the command line: unetr segment.';
  }
  if (error.code === 'network') return `${sentence(message)} Is the network there? Nothing is lost: try again.`;
  if (error.code === 'bad-model' && files.length > 0) return `${files[0].name} is no model that this page can use: ${sentence(message)}`;
  if (error.code !== 'bad-input' && error.code !== undefined) return sentence(message);
  const odd = files.find((f) => kindOf(f.name));
  if (odd && files.every((f) => kindOf(f.name))) {
    return `${odd.name} is ${kindOf(odd.name)}, not a scan. Open ${FORMATS}.`;
  }
  if (/sizeof_hdr|not a NIfTI file|no NIfTI|not a scan|unknown format/i.test(message)) {
    const named = files.find((f) => message.startsWith(f.name)) ?? files[0];
    return `${named?.name ?? 'This file'} is not a scan that can be read here: it may be damaged, or of another kind than its name says. Open ${FORMATS}.`;
  }
  if (/dimensions of the scans of one study|one study: expected/.test(message)) {
    return `These ${files.length} scans do not lie on one grid, so they are no channels of one study. Open one study at a time, or several as a list.`;
  }
  if (/cannot be read/.test(message)) return sentence(message);
  return sentence(message);
}
