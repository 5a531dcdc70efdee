// The one device of this worker, the models on it, and what happens when the device is lost.
import { Device, ModelFile, Segmenter } from './unetr_wgpu.js';
import { loadModel } from './download.js';
import { Folder } from './folder.js';
import { UnetrError, aborted, release, typed } from './errors.js';
import { Pipelines } from './pipelines.js';
import { checkSupport, described } from './support.js';

/**
 * @import { DeviceReport, Progress } from './types.js'
 * @import { Loaded } from './download.js'
 * @import { Source } from './sources.js'
 * @import { Plan, Scan } from './unetr_wgpu.js'
 */

/**
 * @typedef {object} LoadRequest
 * @property {Source} source
 * @property {'f32' | 'f16'} [precision]
 * @property {'auto' | 'opfs' | 'cache' | 'memory' | 'none' | false} [cache]
 * @property {string} [sha256]
 * @property {'probabilities' | 'labels'} [resample]
 * @property {string} [package]
 * @property {string} [prefix]
 *
 * @typedef {(phase: Progress['phase'], done: number, total: number) => void} Report
 */

/** Losses in a row, without a window between them, after which a device is given up. */
const MOST_LOSSES = 3;

/**
 * Opens the module's device, and gives it with the browser's own object behind it.
 * @param {import('./support.js').Adapter | null} adapter
 * @param {boolean} software
 */
async function openDevice(adapter, software) {
  const { requestDevice } = GPUAdapter.prototype;
  /** @type {Pipelines | undefined} */
  let pipelines;
  // The module asks for its device by itself; this is the place to see it.
  GPUAdapter.prototype.requestDevice = async function (...options) {
    pipelines = new Pipelines(await requestDevice.apply(this, options));
    return pipelines.device;
  };
  try {
    const { name = '', vendor = '', architecture = '' } = adapter ?? {};
    const make = (/** @type {import('./pipelines.js').PipelineSource[]} */ list) => pipelines?.make(list);
    const device = await Device.open(name, software, vendor, architecture, make);
    if (!pipelines) throw new Error('the module opened no device');
    return { device, pipelines };
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
  }
}

/**
 * Gives the module the page's own device. Its binding opens devices only by an adapter: it finds one that has this device's
 * limits and features, and gives this device.
 * @param {GPUDevice} device
 * @param {import('./support.js').Adapter} adapter
 * @param {boolean} software
 */
async function adoptDevice(device, adapter, software) {
  const pipelines = new Pipelines(device);
  const found = Object.create(GPUAdapter.prototype, {
    limits: { value: device.limits }, features: { value: device.features }, info: { value: infoOf(device) ?? {} }, requestDevice: { value: async () => device },
  });
  const { gpu } = navigator;
  const { onuncapturederror } = device;
  // Others who ask meanwhile get what they asked for: the module asks first.
  gpu.requestAdapter = async () => {
    delete /** @type {any} */ (gpu).requestAdapter;
    return found;
  };
  try {
    const opened = await Device.open(adapter.name, software, adapter.vendor, adapter.architecture, (/** @type {import('./pipelines.js').PipelineSource[]} */ list) => pipelines.make(list));
    return { device: opened, pipelines };
  } finally {
    delete /** @type {any} */ (gpu).requestAdapter;
    const heard = device.onuncapturederror;
    device.onuncapturederror = onuncapturederror;
    if (heard && heard !== onuncapturederror) device.addEventListener('uncapturederror', /** @type {EventListener} */ (heard));
  }
}

/** @param {GPUDevice} device */
function infoOf(device) {
  return /** @type {{ adapterInfo?: GPUAdapterInfo }} */ (device).adapterInfo;
}

/** The device, opened when it is first needed and anew after a loss. */
export class Held {
  /** @type {Device | null} */
  device = null;
  /** @type {Pipelines | null} */
  pipelines = null;
  /** @type {import('./support.js').Adapter | null} */
  #adapter = null;
  /** @type {Promise<void> | null} */
  #opening = null;
  /** @type {Map<number, Model>} */
  #models = new Map();
  #given;

  /** @param {GPUDevice} [given] the page's own */
  constructor(given) {
    this.#given = given;
  }

  /** Opens the device, once however many ask. */
  open() {
    this.#opening ??= this.#open().finally(() => { this.#opening = null; });
    return this.#opening;
  }

  async #open() {
    if (this.device) return;
    const given = this.#given;
    const { adapter, software } = given ? described({ features: given.features, limits: given.limits, info: infoOf(given) }) : await checkSupport();
    this.#adapter = adapter;
    const { device, pipelines } = given && adapter ? await adoptDevice(given, adapter, software) : await openDevice(adapter, software);
    this.device = device;
    this.pipelines = pipelines;
  }

  /** The device, once it is open. */
  get opened() {
    if (!this.device || !this.pipelines) throw new UnetrError('internal', 'the device is not open');
    return { device: this.device, pipelines: this.pipelines };
  }

  /** @returns {DeviceReport} */
  report() {
    const { vendor = '', architecture = '' } = this.#adapter ?? {};
    return { ...this.opened.device.report(), vendor, architecture };
  }

  /**
   * @param {number} id
   * @param {Model} model
   */
  add(id, model) {
    this.#models.set(id, model);
  }

  /** @param {number} id */
  model(id) {
    return this.#models.get(id);
  }

  /** Whether no model is here. */
  get empty() {
    return this.#models.size === 0;
  }

  /** @param {number} id */
  remove(id) {
    release(this.#models.get(id)?.segmenter);
    this.#models.delete(id);
  }

  /** A new device in place of one that was lost; models are put on it when they are next used. */
  async replace() {
    if (this.#given) throw new UnetrError('device-lost', "the page's GPUDevice was lost: make another, and a new segmenter with it");
    this.release();
    await this.open();
  }

  /** Takes models and device off the module; a device that was given stays its owner's. */
  release() {
    for (const model of this.#models.values()) {
      release(model.segmenter);
      model.segmenter = null;
    }
    release(this.device);
    this.device = null;
    this.pipelines = null;
  }
}

/**
 * Reads a model's file from where the request says it is.
 * @param {LoadRequest} request
 * @param {AbortSignal | undefined} signal
 * @param {Report} progress
 * @returns {Promise<Loaded<ModelFile | Folder>>}
 */
export async function fetchModel({ source, cache, sha256 }, signal, progress) {
  if (source.folder) {
    const file = await Folder.read(source.folder, signal, (done, total) => progress('download', done, total));
    return { file, from: 'given', stored: false, keep: async () => {}, drop: async () => {} };
  }
  return loadModel({
    ...source, sha256, cache, signal,
    report: (done, total) => progress('download', done, total),
    makeFile: (total) => new ModelFile(total),
  });
}

/** A model and how to put it on the device again. */
export class Model {
  /** @type {Segmenter | null} */
  segmenter = null;
  /**
   * Time of one window on this device, once it is known.
   * @type {number | null}
   */
  windowMs = null;
  #held;
  #request;

  /**
   * @param {Held} held
   * @param {LoadRequest} request
   */
  constructor(held, request) {
    this.#held = held;
    this.#request = request;
  }

  /**
   * Opens what `fetchModel` gave and puts it on the device; a file that turns out to be no model is dropped.
   * @param {Loaded<ModelFile | Folder>} loaded
   */
  async put({ file, from, keep, drop }) {
    const { precision, resample, source, package: fields, prefix } = this.#request;
    const bytes = file.length();
    const hash = file.sha256();
    /** @type {string[]} */
    let warnings = [];
    let segmenter;
    let imported = false;
    try {
      await this.#held.open();
      let opened = file;
      if (opened instanceof Folder || opened.needsImport()) {
        const made = opened.import(fields, prefix);
        imported = true;
        warnings = made.warnings();
        opened = made.intoFile();
      }
      // `create` takes the file, also when it fails.
      segmenter = await Segmenter.create(this.#held.opened.device, opened, { halfWeights: precision && precision === 'f16', resampleLabels: resample === 'labels' });
    } catch (error) {
      const { code, fields } = typed(error);
      // A checkpoint that only lacks the caller's word is one.
      if (code === 'bad-model' && !fields) await drop();
      else if (fields) await keep();
      throw error;
    }
    this.segmenter = segmenter;
    const blob = await keep();
    // After a lost device it must be this file again: one run is not to mix two models.
    this.#request = { ...this.#request, sha256: hash, source: blob ? { ...source, blob } : source };
    return { segmenter, known: { bytes, from, blob, imported, warnings } };
  }

  /** The model on the device, also after that was replaced. */
  async ready() {
    return this.segmenter ?? (await this.put(await fetchModel(this.#request, undefined, () => {}))).segmenter;
  }

  /**
   * Calls `work` with the model on the device; after a lost device once more on a new one.
   * @template T
   * @param {(segmenter: Segmenter) => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async use(work) {
    try {
      return await work(await this.ready());
    } catch (error) {
      if (typed(error).code !== 'device-lost') throw error;
      return work(await this.#replace(error));
    }
  }

  /** @param {unknown} error */
  async #replace(error) {
    try {
      await this.#held.replace();
      return await this.ready();
    } catch (cause) {
      // Whatever it was, the device is gone: that is told, and the next call starts anew.
      if (error instanceof Error) error.cause ??= cause;
      throw error;
    }
  }

  /**
   * Has made ahead what a plan needs, or what any scan needs.
   * @param {Segmenter} segmenter
   * @param {Plan | null} plan
   * @param {AbortSignal} signal
   * @param {Report} progress
   */
  compile(segmenter, plan, signal, progress) {
    const list = plan ? plan.pipelines(segmenter) : segmenter.pipelines();
    return this.#held.opened.pipelines.make(list, signal, (done, total) => progress('compile', done, total));
  }

  /**
   * Measures a window; the first one is left out, because it warms the device up.
   * @param {Segmenter} segmenter
   * @param {Plan} plan
   * @param {AbortSignal} signal
   * @param {Report} progress
   */
  async time(segmenter, plan, signal, progress) {
    await this.compile(segmenter, plan, signal, progress);
    /** @type {number[]} */
    const ticks = [];
    progress('measure', 0, 2);
    await plan.rehearse(segmenter, 2, () => {
      ticks.push(performance.now());
      progress('measure', ticks.length, 2);
      return signal.aborted;
    });
    if (signal.aborted) throw aborted();
    this.windowMs = ticks[1] - ticks[0];
  }

  /**
   * Runs a scan. A run whose device is lost goes on, on a new one, behind the last window that was saved.
   * @param {Scan} scan
   * @param {{ overlap?: number, uncertainty?: boolean }} options
   * @param {(begin: number[], extent: number[], labels: Uint8Array<ArrayBuffer>) => void} part
   * @param {AbortSignal} signal
   * @param {Report} progress
   */
  async run(scan, { overlap, uncertainty = false }, part, signal, progress) {
    let segmenter = await this.ready();
    const plan = segmenter.prepare(scan, overlap ?? undefined);
    try {
      const report = plan.report();
      /** @type {string[]} */
      const warnings = [];
      const first = JSON.stringify(this.#held.report());
      const times = { prepared: performance.now(), compileMs: 0 };
      progress('preprocess', 1, 1);
      /** @type {{ now: number, done: number } | null} */
      let pace = null;
      const step = (/** @type {number} */ done, /** @type {number} */ total) => {
        const now = performance.now();
        pace ??= { now, done };
        if (done > pace.done) this.windowMs = (now - pace.now) / (done - pace.done);
        progress('infer', done, total);
        return signal.aborted;
      };
      for (let losses = 0, reached = 0; ;) {
        try {
          const began = performance.now();
          await this.compile(segmenter, plan, signal, progress);
          times.compileMs += performance.now() - began;
          if (losses === 0) progress('infer', 0, report.windows);
          segmenter.keepUncertainty(uncertainty);
          const outcome = await plan.run(segmenter, step, part);
          return { outcome, plan: report, warnings, ...times, inferMs: performance.now() - times.prepared - times.compileMs };
        } catch (error) {
          if (typed(error).code !== 'device-lost' || signal.aborted) throw error;
          losses = plan.reached() > reached ? 1 : losses + 1;
          reached = plan.reached();
          if (losses === MOST_LOSSES) throw error;
          segmenter = await this.#replace(error);
          // Other limits would lay the sums out otherwise.
          if (JSON.stringify(this.#held.report()) !== first) throw error;
          warnings.push(`the GPU device was lost and replaced; the run went on behind window ${reached} of ${report.windows}`);
          pace = null;
        }
      }
    } finally {
      release(plan);
    }
  }
}
