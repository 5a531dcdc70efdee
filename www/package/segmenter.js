import { UnetrError, unlessAborted } from './errors.js';
import { checked } from './options.js';
import { SegmentationResult } from './result.js';
import { modelSource, packageText, scanInput } from './sources.js';
import { memory } from './store.js';

/**
 * @import { Client } from './client.js'
 * @import {
 *   AmendedResult, Benchmark, CheckpointOptions, DeviceReport, Label, LabelBox, LabelComparison, ModelDescription, ModelOptions, Plan, RunOptions, Scan,
 *   SeriesOptions
 * } from './types.js'
 */

/**
 * What is being loaded, by URL.
 * @type {Map<string, Promise<unknown>>}
 */
const loading = new Map();

/**
 * Calls `work` once nobody else loads this URL: the second finds what the first kept.
 * @param {string} url
 * @param {AbortSignal | undefined} signal
 * @param {() => Promise<void>} work
 */
function behind(url, signal, work) {
  const before = loading.get(url) ?? Promise.resolve();
  const done = unlessAborted(signal, before).then(work);
  // One that leaves early leads nobody past those before it.
  const all = Promise.allSettled([before, done]).then(() => { if (loading.get(url) === all) loading.delete(url); });
  loading.set(url, all);
  return done;
}

/** A model on the worker of its page. */
export class Segmenter {
  /**
   * The package's metadata, and what is known of its file.
   * @readonly @type {ModelDescription}
   */
  model;
  /** @readonly @type {Label[]} */
  labelTable;
  /** @readonly @type {DeviceReport} */
  device;
  #client;
  #options;
  #number;
  /**
   * The client's worker that has this model.
   * @type {number | null}
   */
  #generation = null;
  #disposed = false;
  /** @type {Promise<void> | null} */
  #loading = null;

  /**
   * @internal
   * @param {Client} client
   * @param {ModelOptions & CheckpointOptions} options
   */
  constructor(client, options) {
    this.#client = client;
    this.#options = options;
    this.#number = client.number();
  }

  /**
   * Starts a worker and gives it the model; once, however many ask for it.
   * @internal
   * @param {RunOptions} options
   * @returns {Promise<void>}
   */
  load(options) {
    this.#loading ??= this.#load(options).finally(() => { this.#loading = null; });
    return this.#loading;
  }

  /** @param {RunOptions} options */
  #load(options) {
    const { model, cache = 'auto' } = this.#options;
    const { url } = modelSource(model);
    const shared = url && cache !== 'none' && cache !== false;
    return shared ? behind(url, options.signal, () => this.#put(options)) : this.#put(options);
  }

  /** @param {RunOptions} options */
  async #put({ signal, onProgress }) {
    const { model, precision, cache = 'auto', sha256, resample = 'probabilities', package: fields, prefix } = this.#options;
    const source = modelSource(model, cache);
    this.#client.start();
    const { generation } = this.#client;
    const { blob, package: metadata, labelTable, device, ...known } = await this.#client.ask(
      { type: 'load', model: this.#number, source, precision, cache, sha256, resample, package: packageText(fields), prefix },
      { signal, onProgress },
    );
    if (blob && source.url) memory.set(source.url, blob);
    Object.assign(this, { model: { ...metadata, ...known }, labelTable, device });
    this.#generation = generation;
  }

  /**
   * @param {{ type: string, [field: string]: unknown }} request
   * @param {RunOptions & { onPart?: (part: LabelBox) => void }} options
   * @returns {Promise<any>}
   */
  async #ask(request, options) {
    if (this.#disposed) throw new UnetrError('bad-input', 'this segmenter was disposed');
    if (this.#loading || !this.#client.alive || this.#generation !== this.#client.generation) await this.#reload(options);
    return this.#client.ask({ model: this.#number, ...request }, options);
  }

  /**
   * Loads anew for whoever asks: no one caller's signal ends what others wait for too, but each may leave.
   * @param {RunOptions} options
   */
  async #reload({ signal, onProgress }) {
    await unlessAborted(signal, this.load({ onProgress }));
  }

  /**
   * Compiles the kernels that the device does not have yet, beside other requests and without holding up what the page draws.
   * `segment` does so where it was not done before. Kernels serve every model of the page that needs the same.
   * @param {RunOptions} [options]
   * @returns {Promise<void>}
   */
  async compile(options) {
    const { signal, onProgress } = checked('compile', options);
    await this.#ask({ type: 'compile' }, { signal, onProgress });
  }

  /**
   * Windows and memory of a scan. `measure` runs two windows of this model, once, to tell the time they take. Default false.
   * @param {Scan} scan
   * @param {RunOptions & SeriesOptions & { overlap?: number, measure?: boolean }} [options]
   * @returns {Promise<Plan>}
   */
  async plan(scan, options) {
    const { overlap, measure = false, signal, onProgress, ...chosen } = checked('plan', options);
    return this.#ask({ type: 'plan', input: scanInput(scan, chosen), overlap, measure }, { signal, onProgress });
  }

  /**
   * Requests are answered one after the other. A stopped run ends within one window. A run whose device is lost goes on,
   * on a new one, behind the last window that was saved. `onLabels` hears of parts of the result, on the scan's grid, as they become
   * final; of none with `resample: 'labels'` and for scans that lie oblique to the model's axes.
   * @param {Scan} scan
   * `uncertainty` asks for a map of how undecided the model is, and its mean over each label, at 4 bytes a voxel and class.
   * @param {RunOptions & SeriesOptions & { overlap?: number, uncertainty?: boolean, onLabels?: (part: LabelBox) => void }} [options]
   * @returns {Promise<SegmentationResult>}
   */
  async segment(scan, options) {
    const { overlap, uncertainty = false, signal, onProgress, onLabels, ...chosen } = checked('segment', options);
    const request = { type: 'segment', input: scanInput(scan, chosen), overlap, uncertainty, parts: Boolean(onLabels) };
    return new SegmentationResult(await this.#ask(request, { signal, onProgress, onPart: onLabels }));
  }

  /**
   * Labels that were changed by hand, `(X, Y, Z)` with Z contiguous on the grid of their scan, with the files, statistics and
   * record of a result. The record says that they were corrected, unless `corrected` is false.
   * @param {Scan} scan
   * @param {Uint8Array} labels
   * @param {SeriesOptions & { overlap?: number, corrected?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<AmendedResult>}
   */
  async amend(scan, labels, options) {
    const { overlap, corrected = true, signal, ...chosen } = checked('amend', options);
    return new SegmentationResult(await this.#ask({ type: 'amend', input: scanInput(scan, chosen), overlap, labels, corrected }, { signal }));
  }

  /**
   * A result against a label file of an expert on the same grid, by MONAI's measures.
   * @param {Pick<SegmentationResult, 'labels' | 'dims' | 'affine'>} result
   * @param {Blob | ArrayBuffer | Uint8Array} reference
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<{ labels: LabelComparison[], warnings: string[] }>}
   */
  async compare(result, reference, options) {
    const { labels, dims, affine } = result;
    const { signal } = checked('compare', options);
    const input = scanInput(reference);
    if (!('files' in input)) throw new UnetrError('bad-input', 'the reference must be a label file: a File or an ArrayBuffer');
    return this.#ask({ type: 'compare', labels, dims, affine, truth: input.files }, { signal });
  }

  /**
   * Times windows of this model's network with noise as input, as `unetr bench` does.
   * @param {{ repeats?: number, signal?: AbortSignal }} [options]
   * @returns {Promise<Benchmark>}
   */
  async benchmark(options) {
    const { repeats = 5, signal } = checked('benchmark', options);
    return this.#ask({ type: 'bench', repeats }, { signal });
  }

  /**
   * Frees the model's memory. The worker, shared by all models of the page, ends a minute after the last of them.
   * @returns {void}
   */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#client.unload(this.#number, new UnetrError('aborted', 'the segmenter was disposed'));
    this.#client.leave();
  }
}
