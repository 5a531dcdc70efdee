// The one device of this worker, the models on it, and what happens when the device is lost.
import { Device, ModelFile, Segmenter } from './unetr_wgpu.js';
import { loadModel } from './download.js';
import { aborted, release } from './errors.js';
import { Pipelines } from './pipelines.js';
import { checkSupport } from './support.js';

/** Losses in a row, without a window between them, after which a device is given up. */
const MOST_LOSSES = 3;

/** Opens the module's device, and gives it with the browser's own object behind it. */
async function openDevice(adapter, software) {
  const { requestDevice } = GPUAdapter.prototype;
  const made = {};
  // The module asks for its device by itself; this is the place to see it.
  GPUAdapter.prototype.requestDevice = async function (...options) {
    made.pipelines = new Pipelines(await requestDevice.apply(this, options));
    return made.pipelines.device;
  };
  try {
    const { name = '', vendor = '', architecture = '' } = adapter ?? {};
    made.device = await Device.open(name, software, vendor, architecture, (list) => made.pipelines.make(list));
    return made;
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
  }
}

/** The device, opened when it is first needed and anew after a loss. */
export class Held {
  device = null;
  pipelines = null;
  #adapter = null;
  #opening = null;
  #models = new Map();

  /** Opens the device, once however many ask. */
  open() {
    this.#opening ??= this.#open().finally(() => { this.#opening = null; });
    return this.#opening;
  }

  async #open() {
    if (this.device) return;
    const { adapter, software } = await checkSupport();
    this.#adapter = adapter;
    const { device, pipelines } = await openDevice(adapter, software);
    this.device = device;
    this.pipelines = pipelines;
  }

  report() {
    const { vendor, architecture } = this.#adapter ?? {};
    return { ...this.device.report(), vendor, architecture };
  }

  add(id, model) {
    this.#models.set(id, model);
  }

  model(id) {
    return this.#models.get(id);
  }

  remove(id) {
    release(this.#models.get(id)?.segmenter);
    this.#models.delete(id);
  }

  /** A new device in place of one that was lost; models are put on it when they are next used. */
  async replace() {
    for (const model of this.#models.values()) {
      release(model.segmenter);
      model.segmenter = null;
    }
    release(this.device);
    this.device = null;
    this.pipelines = null;
    await this.open();
  }
}

/** Reads a model's file from where the request says it is. */
export function fetchModel({ source, cache, sha256 }, signal, progress) {
  return loadModel({
    ...source, sha256, cache, signal,
    report: (done, total) => progress('download', done, total),
    makeFile: (total) => new ModelFile(total),
  });
}

/** A model and how to put it on the device again. */
export class Model {
  segmenter = null;
  /** Time of one window on this device, once it is known. */
  windowMs = null;
  #held;
  #request;

  constructor(held, request) {
    this.#held = held;
    this.#request = request;
  }

  /** Opens what `fetchModel` gave and puts it on the device; a file that turns out to be no model is dropped. */
  async put({ file, from, keep, drop }) {
    const { precision, resample, source, package: fields, prefix } = this.#request;
    const bytes = file.length();
    const hash = file.sha256();
    let warnings = [];
    try {
      await this.#held.open();
      if (file.needsImport()) {
        const made = file.import(fields, prefix);
        warnings = made.warnings();
        file = made.intoFile();
      }
      // `create` takes the file, also when it fails.
      this.segmenter = await Segmenter.create(this.#held.device, file, { halfWeights: precision === 'f16', resampleLabels: resample === 'labels' });
    } catch (error) {
      // A checkpoint that only lacks the caller's word is one.
      if (error.code === 'bad-model' && !error.fields) await drop();
      else if (error.fields) await keep();
      throw error;
    }
    const blob = await keep();
    // After a lost device it must be this file again: one run is not to mix two models.
    this.#request = { ...this.#request, sha256: hash, source: blob ? { ...source, blob } : source };
    return { bytes, from, blob, warnings };
  }

  /** Is on the device, also after that was replaced. */
  async ready() {
    if (!this.segmenter) await this.put(await fetchModel(this.#request, undefined, () => {}));
    return this;
  }

  /** Calls `work(this)`; after a lost device once more on a new one. */
  async use(work) {
    try {
      return await work(await this.ready());
    } catch (error) {
      if (error.code !== 'device-lost') throw error;
      await this.#replace(error);
      return work(this);
    }
  }

  async #replace(error) {
    try {
      await this.#held.replace();
      await this.ready();
    } catch (cause) {
      // Whatever it was, the device is gone: that is told, and the next call starts anew.
      error.cause ??= cause;
      throw error;
    }
  }

  /** Has made ahead what a plan needs, or what any scan needs. */
  compile(plan, signal, progress) {
    const list = plan ? plan.pipelines(this.segmenter) : this.segmenter.pipelines();
    return this.#held.pipelines.make(list, signal, (done, total) => progress('compile', done, total));
  }

  /** Measures a window; the first one is left out, because it warms the device up. */
  async time(plan, signal, progress) {
    await this.compile(plan, signal, progress);
    const ticks = [];
    progress('measure', 0, 2);
    await plan.rehearse(this.segmenter, 2, () => {
      ticks.push(performance.now());
      progress('measure', ticks.length, 2);
      return signal.aborted;
    });
    if (signal.aborted) throw aborted();
    this.windowMs = ticks[1] - ticks[0];
  }

  /** Runs a scan. A run whose device is lost goes on, on a new one, behind the last window that was saved. */
  async run(scan, overlap, part, signal, progress) {
    await this.ready();
    const plan = this.segmenter.prepare(scan, overlap ?? undefined);
    try {
      const report = plan.report();
      const warnings = [];
      const first = JSON.stringify(this.#held.report());
      const times = { prepared: performance.now(), compileMs: 0 };
      progress('preprocess', 1, 1);
      let pace = null;
      const step = (done, total) => {
        const now = performance.now();
        pace ??= { now, done };
        if (done > pace.done) this.windowMs = (now - pace.now) / (done - pace.done);
        progress('infer', done, total);
        return signal.aborted;
      };
      for (let losses = 0, reached = 0; ;) {
        try {
          const began = performance.now();
          await this.compile(plan, signal, progress);
          times.compileMs += performance.now() - began;
          if (losses === 0) progress('infer', 0, report.windows);
          const outcome = await plan.run(this.segmenter, step, part);
          return { outcome, plan: report, warnings, ...times, inferMs: performance.now() - times.prepared - times.compileMs };
        } catch (error) {
          if (error.code !== 'device-lost' || signal.aborted) throw error;
          losses = plan.reached() > reached ? 1 : losses + 1;
          reached = plan.reached();
          if (losses === MOST_LOSSES) throw error;
          await this.#replace(error);
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
