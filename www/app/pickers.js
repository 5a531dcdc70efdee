// From a heap of files to one scan: which series, which frames, which file is which channel. Only what is not clear is asked.
import { scanToNifti } from 'unetr-wgpu';
import { choose } from './choose.js';
import { folderOf, isSeries, volumes } from './files.js';
import { make, plural } from './format.js';
import { frameCount, framesOf, labelGrid, parseHeader, readHeader } from './nifti.js';

/** @typedef {import('./session.js').Found} Found */
/** @typedef {import('./series.js').Series} Series */

/** The middle slice of a NIfTI file in 32 bits, as a small picture. @param {Uint8Array<ArrayBuffer>} nifti */
function thumbnail(nifti) {
  const canvas = make('canvas', { className: 'thumbnail', width: 96, height: 96 });
  const header = parseHeader(nifti);
  if (!header) return canvas;
  const [nx, ny, nz] = header.dims;
  const values = new Float32Array(nifti.slice(header.offset, header.offset + 4 * nx * ny * nz).buffer);
  const slice = values.subarray((nz >> 1) * nx * ny, ((nz >> 1) + 1) * nx * ny);
  const sorted = Float32Array.from(slice).sort();
  const [low, high] = [sorted[Math.floor(0.02 * sorted.length)], sorted[Math.floor(0.99 * sorted.length)]];
  const context = canvas.getContext('2d');
  const image = context.createImageData(96, 96);
  const scale = Math.max(nx, ny) / 96;
  for (let y = 0; y < 96; y += 1) {
    for (let x = 0; x < 96; x += 1) {
      const [i, j] = [Math.floor((x - 48) * scale + nx / 2), Math.floor((y - 48) * scale + ny / 2)];
      const v = i < 0 || j < 0 || i >= nx || j >= ny ? 0 : Math.max(0, Math.min(255, (255 * (slice[i + nx * j] - low)) / (high - low || 1)));
      image.data.set([v, v, v, 255], 4 * (x + 96 * y));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** @param {Series} series @param {HTMLInputElement} input */
function card(series, input) {
  const facts = [series.modality, series.size, plural(series.files.length, 'file')].filter(Boolean).join(', ');
  const place = make('span', { className: 'thumbnail' });
  const middle = series.files[series.files.length >> 1];
  scanToNifti([middle]).then(({ nifti }) => place.replaceWith(thumbnail(nifti)), () => {});
  return make('label', { className: 'card' }, input, place, make('span', {}, make('strong', { textContent: series.description }), make('br'), make('span', { className: 'facts', textContent: facts })));
}

/**
 * Asks for as many series as the model has channels.
 * @param {Series[]} all
 * @param {string[]} channels
 * @returns {Promise<Series[] | null>}
 */
async function pickSeries(all, channels) {
  const images = all.filter((s) => s.image);
  if (channels.length > 1) {
    const rows = await pickChannels(images.map((s) => `${s.description} (${s.modality}, ${plural(s.files.length, 'file')})`), channels, 'series');
    return rows && rows.map((i) => images[i]);
  }
  const form = make('div', { className: 'cards', role: 'radiogroup' });
  for (const [i, series] of images.entries()) form.append(card(series, make('input', { type: 'radio', name: 'series', value: String(i), checked: i === 0 })));
  const answer = await choose({ title: `${images.length} series are in these files`, text: 'Which one is to be segmented?', body: form, choices: [['ok', 'Open']] });
  if (!answer) return null;
  return [images[Number(form.querySelector('input:checked').value)]];
}

/** Names that mean the same channel. @param {string} text */
const simple = (text) => text.toLowerCase().replace(/[^a-z0-9]/g, '').replace(/w$/, '');

/**
 * Which of these is which channel.
 * @param {string[]} names
 * @param {string[]} channels
 * @param {string} noun
 * @returns {Promise<number[] | null>}
 */
export async function pickChannels(names, channels, noun) {
  const form = make('div', { className: 'rows' });
  /** @type {HTMLSelectElement[]} */
  const selects = channels.map((channel, c) => {
    const guess = names.findIndex((n) => simple(n).includes(simple(channel)));
    const select = make('select', { name: channel }, ...names.map((n, i) => make('option', { value: String(i), textContent: n, selected: i === (guess < 0 ? Math.min(c, names.length - 1) : guess) })));
    form.append(make('label', { className: 'row' }, make('span', { textContent: channel }), select));
    return select;
  });
  const answer = await choose({
    title: channels.length > 1 ? `This model needs ${channels.length} ${noun}` : `Which ${noun}?`,
    text: channels.length > 1 ? 'Choose which is which.' : `These files hold ${names.length}; the model takes one.`,
    body: form, choices: [['ok', 'Open']],
  });
  return answer ? selects.map((s) => Number(s.value)) : null;
}

/**
 * One scan, or several of which each is one. Null where the user gave up.
 * @param {File[]} files
 * @param {string[]} channels that the model needs
 * @returns {Promise<{scan: Found} | {scans: Found[]} | null>}
 */
export async function pick(files, channels) {
  if (isSeries(files)) return pickDicom(files, channels);
  const all = volumes(files);
  if (all.length === channels.length && channels.length > 1) return { scan: { files } };
  if (all.length === 1) return pickFrames(files, channels);
  if (channels.length === 1) return { scans: all.map((own) => ({ files: own })) };
  // Cases of several channels lie in folders of their own.
  /** @type {Map<string, File[]>} */
  const cases = new Map();
  for (const own of all) cases.set(folderOf(own[0]), [...(cases.get(folderOf(own[0])) ?? []), ...own]);
  if (cases.size > 1 && [...cases.values()].every((own) => volumes(own).length === channels.length)) {
    return { scans: [...cases].map(([name, own]) => ({ files: own, name })) };
  }
  const rows = await pickChannels(all.map((own) => own[0].name), channels, 'channels');
  return rows && { scan: { files: rows.flatMap((i) => all[i]) } };
}

/** @param {File[]} files @param {string[]} channels */
async function pickDicom(files, channels) {
  // Without a network it may not be there; then the reader itself tells what is ambiguous.
  const reader = await import('./series.js').catch(() => null);
  if (!reader) return { scan: { files } };
  const all = await reader.seriesOf(files);
  const images = all.filter((s) => s.image);
  const others = all.filter((s) => !s.image);
  if (images.length === 0) return { scan: { files } };
  // What is left out is told by the reader where it is not DICOM at all.
  const rest = files.filter((f) => !all.some((s) => s.files.includes(f)));
  const notes = others.length > 0 ? [`left out, as they hold no images: ${others.map((s) => `${s.description} (${s.modality})`).join(', ')}`] : [];
  const chosen = images.length > channels.length || images.length > 1 ? await pickSeries(all, channels) : images;
  if (!chosen) return null;
  const name = chosen.length === 1 && images.length > 1 ? `${chosen[0].description} (${plural(chosen[0].files.length, 'file')})` : undefined;
  const own = chosen.flatMap((s) => s.files);
  return { scan: { files: [...own, ...(images.length > 1 ? [] : rest)], series: chosen.length > 1 ? chosen.map((s) => s.uid) : undefined, notes, name } };
}

/** @param {File[]} files @param {string[]} channels @returns {Promise<{scan: Found} | null>} */
async function pickFrames(files, channels) {
  const frames = await frameCount(files[0]);
  if (frames === 1 || frames === channels.length || files.length > 1) return { scan: { files } };
  const rows = await pickChannels(Array.from({ length: frames }, (_, i) => `Frame ${i + 1} of ${frames}`), channels, 'frames');
  if (!rows) return null;
  return { scan: { files: await framesOf(files[0], rows), notes: [`of ${frames} frames: ${rows.map((r) => r + 1).join(', ')}`] } };
}

/**
 * Whether a file is labels, and for what: asks, where it lies on the grid of the scan that is open.
 * @param {File[]} files
 * @param {{dims: [number, number, number] | null, name: string} | null} scan
 * @param {boolean} result whether there is one to compare with
 * @returns {Promise<'compare' | 'draw' | 'scan' | null>}
 */
export async function labelsFor(files, scan, result) {
  if (files.length !== 1 || !scan?.dims || !/\.nii(\.gz)?$/i.test(files[0].name)) return 'scan';
  const header = await readHeader(files[0]);
  if (!header || !scan.dims.every((n, a) => n === header.dims[a])) return 'scan';
  const grid = await labelGrid(files[0]);
  if (!grid) return 'scan';
  const answer = await choose({
    title: `${files[0].name} holds labels`,
    text: `It has ${plural(grid.values.length, 'label')} on the grid of ${scan.name}.`,
    choices: [...(result ? /** @type {[string, string][]} */ ([['compare', 'Compare with the result']]) : []), ['draw', 'Draw over the scan'], ['scan', 'Open as a scan']],
  });
  return /** @type {'compare' | 'draw' | 'scan' | null} */ (answer);
}
