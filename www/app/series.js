// What a heap of DICOM files holds: its series, so that one can be chosen by looking. The package reads the series itself.
import dicomParser from 'dicom-parser';

/** Headers end before this in nearly all files. */
const HEAD = 2 ** 17;

/**
 * @typedef {object} Series
 * @property {string} uid
 * @property {string} description
 * @property {string} modality
 * @property {string} size
 * @property {File[]} files in the order of their instance numbers
 * @property {boolean} image whether it holds images, and not a segmentation or a report
 */

/** @param {File} file */
async function head(file) {
  for (const size of [HEAD, file.size]) {
    const bytes = new Uint8Array(await file.slice(0, Math.min(size, file.size)).arrayBuffer());
    if (String.fromCharCode(...bytes.subarray(128, 132)) !== 'DICM') return null;
    try {
      return dicomParser.parseDicom(bytes, { untilTag: 'x7fe00010' });
    } catch {
      // The header is longer than what was read.
    }
  }
  return null;
}

/**
 * The series of these files, the largest first; files that are no DICOM are in none.
 * @param {File[]} files
 * @returns {Promise<Series[]>}
 */
export async function seriesOf(files) {
  /** @type {Map<string, Series & {at: number[]}>} */
  const all = new Map();
  for (const file of files) {
    const data = await head(file).catch(() => null);
    const uid = data?.string('x0020000e');
    if (!data || !uid) continue;
    const modality = data.string('x00080060') ?? '';
    const frames = Number(data.string('x00280008') ?? 1);
    const rows = data.uint16('x00280010');
    const columns = data.uint16('x00280011');
    const entry = all.get(uid) ?? {
      uid, modality, description: data.string('x0008103e') || data.string('x00081030') || 'without description',
      size: rows ? `${columns} × ${rows}` : '', files: [], at: [], image: rows !== undefined && !['SEG', 'SR', 'RTSTRUCT', 'PR', 'KO'].includes(modality),
    };
    entry.files.push(file);
    entry.at.push(Number(data.string('x00200013') ?? 0));
    if (frames > 1) entry.size = `${columns} × ${rows} × ${frames}`;
    all.set(uid, entry);
  }
  return [...all.values()].map(({ at, files: own, ...rest }) => {
    const order = at.map((_, i) => i).sort((a, b) => at[a] - at[b]);
    return { ...rest, files: order.map((i) => own[i]) };
  }).sort((a, b) => Number(b.image) - Number(a.image) || b.files.length - a.files.length);
}
