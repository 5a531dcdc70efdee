import { UnetrError } from './errors.js';

const RUN = ['signal', 'onProgress'];
const ASSETS = ['assetPath', 'worker'];
/** What each call accepts. */
const KNOWN = {
  createSegmenter: ['model', 'package', 'prefix', 'precision', 'cache', 'sha256', 'resample', 'device', ...RUN, ...ASSETS],
  compile: RUN,
  plan: ['overlap', 'series', 'acquisition', 'measure', ...RUN],
  segment: ['overlap', 'series', 'acquisition', 'uncertainty', 'onLabels', ...RUN],
  amend: ['overlap', 'series', 'acquisition', 'corrected', 'signal'],
  compare: ['signal'],
  benchmark: ['repeats', 'signal'],
  importCheckpoint: ['package', 'prefix', 'sha256', ...RUN, ...ASSETS],
  scanToNifti: ['series', 'acquisition', 'signal', ...ASSETS],
  selfTest: [...RUN, ...ASSETS],
};
/** @type {Record<string, unknown[]>} */
const CHOICES = {
  precision: ['f32', 'f16'],
  resample: ['probabilities', 'labels'],
  cache: ['auto', 'opfs', 'cache', 'memory', 'none', false],
};
const CALLBACKS = ['onProgress', 'onLabels', 'worker'];

/**
 * The options of a call, once nothing in them is misspelt: what is not known is refused, not ignored.
 * @template {object} T
 * @param {keyof typeof KNOWN} call
 * @param {T | null} [options]
 * @returns {T}
 */
export function checked(call, options) {
  if (options === undefined || options === null) return /** @type {T} */ ({});
  if (typeof options !== 'object') throw new UnetrError('bad-input', `${call}: the options must be an object, not ${typeof options}`);
  const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  for (const [name, value] of given) {
    if (!KNOWN[call].includes(name)) {
      throw new UnetrError('bad-input', `${call} has no option '${name}'${nearest(name, KNOWN[call])}. It has ${KNOWN[call].join(', ')}`);
    }
    if (CHOICES[name] && !CHOICES[name].includes(value)) {
      const choices = CHOICES[name].map((v) => JSON.stringify(v)).join(', ');
      throw new UnetrError('bad-input', `options.${name} is ${JSON.stringify(value)}: it must be one of ${choices}`);
    }
    if (CALLBACKS.includes(name) && typeof value !== 'function') {
      throw new UnetrError('bad-input', `options.${name} is ${JSON.stringify(value)}: it must be a function`);
    }
    if (name === 'uncertainty' && typeof value !== 'boolean') {
      throw new UnetrError('bad-input', `options.uncertainty is ${JSON.stringify(value)}: it must be true or false`);
    }
    if (name === 'signal' && !(value instanceof AbortSignal)) {
      throw new UnetrError('bad-input', 'options.signal must be an AbortSignal');
    }
    if (name === 'device' && !(globalThis.GPUDevice && value instanceof GPUDevice)) {
      throw new UnetrError('bad-input', 'options.device must be a GPUDevice of this page');
    }
    if (name === 'acquisition' && ![value].flat().every((n) => Number.isSafeInteger(n) && n > 0 && n < 2 ** 32)) {
      throw new UnetrError('bad-input', `options.acquisition is ${JSON.stringify(value)}: it must be a number from 1, or several`);
    }
    if (name === 'sha256' && !/^[0-9a-f]{64}$/i.test(value)) {
      throw new UnetrError('bad-input', `options.sha256 is ${JSON.stringify(value)}: it must be 64 hexadecimal digits`);
    }
  }
  return /** @type {T} */ (Object.fromEntries(given));
}

/**
 * @param {string} name
 * @param {string[]} known
 */
function nearest(name, known) {
  const [best] = known.map((k) => ({ k, far: distance(name.toLowerCase(), k.toLowerCase()) })).sort((a, b) => a.far - b.far);
  return best.far <= Math.max(2, name.length >> 1) ? `; is '${best.k}' meant?` : '';
}

/**
 * Letters to change, add or leave out.
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1]));
    }
    row = next;
  }
  return row[b.length];
}
