// What the viewers' modules share: one run of a segmenter that is given or made for it.
import { UnetrError } from './errors.js';
import { createSegmenter } from './index.js';

/**
 * @import { AssetOptions, CheckpointOptions, Label, LabelBox, ModelOptions, RunOptions, Volume } from './types.js'
 * @import { SegmentationResult } from './result.js'
 * @import { Segmenter } from './segmenter.js'
 */

/**
 * A segmenter, which stays the caller's, or what makes one for this run alone.
 * @typedef {{ segmenter: Segmenter, model?: undefined } | ({ segmenter?: undefined } & ModelOptions & CheckpointOptions & AssetOptions)} Model
 *
 * @typedef {RunOptions & { overlap?: number }} RunOnce
 */

/**
 * A concept of a terminology, as DICOM has it: `SCT` is SNOMED CT.
 * @typedef {{ scheme: string, value: string, meaning: string }} Code
 *
 * @typedef {Label & { codes?: { category: Code, type: Code, modifier?: Code } }} CodedLabel
 */

/**
 * @typedef {object} Steps
 * @property {(channels: number) => Volume | Promise<Volume>} scan The scan, for a model of so many channels.
 * @property {(table: CodedLabel[], volume: Volume) => void | Promise<void>} [begin] Before the first labels.
 * @property {(part: LabelBox) => void} part
 */

/**
 * Runs a scan of a viewer.
 * @param {Model & RunOnce} options
 * @param {Steps} steps
 * @returns {Promise<SegmentationResult>}
 */
export async function runOnce({ overlap, signal, onProgress, segmenter: given, ...model }, { scan, begin, part }) {
  if (!given && !('model' in model)) throw new UnetrError('bad-input', 'neither a segmenter nor a model was given: give `segmenter` or `model`');
  const segmenter = given ?? await createSegmenter({ .../** @type {ModelOptions} */ (model), ...run(signal, onProgress) });
  try {
    const volume = await scan(channels(segmenter));
    await begin?.(coded(segmenter), volume);
    return await segmenter.segment(volume, { ...run(signal, onProgress), onLabels: part, ...(overlap === undefined ? {} : { overlap }) });
  } finally {
    if (!given) segmenter.dispose();
  }
}

/**
 * @param {AbortSignal} [signal]
 * @param {RunOptions['onProgress']} [onProgress]
 */
function run(signal, onProgress) {
  return { ...(signal && { signal }), ...(onProgress && { onProgress }) };
}

/** @param {Segmenter} segmenter */
function channels({ model }) {
  const input = /** @type {{ channels?: string[] }} */ (model.input);
  return input?.channels?.length ?? 1;
}

/**
 * The label table with what the package says of each label in a terminology.
 * @param {Segmenter} segmenter
 * @returns {CodedLabel[]}
 */
function coded({ model, labelTable }) {
  const output = /** @type {{ labels?: CodedLabel[] } | undefined} */ (model.output);
  return labelTable.map((label) => {
    const codes = output?.labels?.find(({ value }) => value === label.value)?.codes;
    return codes ? { ...label, codes } : label;
  });
}

/**
 * Values of labels that are named by value or name.
 * @param {Label[]} table
 * @param {number | string | (number | string)[]} labels
 */
export function valuesOf(table, labels) {
  return [labels].flat().map((wanted) => {
    const found = table.find(({ value, name }) => value === wanted || name === wanted);
    if (found) return found.value;
    throw new UnetrError('bad-input', `no label is ${JSON.stringify(wanted)}: there are ${table.map(({ value, name }) => `${value} "${name}"`).join(', ')}`);
  });
}

/**
 * `#rrggbb` as three numbers to 255.
 * @param {string} color
 * @returns {[number, number, number]}
 */
export function rgb(color) {
  const part = (/** @type {number} */ at) => Number.parseInt(color.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
}

/**
 * Two affines within a thousandth of a voxel's edge.
 * @param {number[][]} a
 * @param {number[][]} b
 */
export function alike(a, b) {
  const edge = Math.min(...[0, 1, 2].map((axis) => Math.hypot(a[0][axis], a[1][axis], a[2][axis])));
  return [0, 1, 2].every((row) => [0, 1, 2, 3].every((column) => Math.abs(a[row][column] - b[row][column]) <= 1e-3 * edge));
}
