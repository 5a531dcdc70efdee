// The device, the model on it, and what happens when the device is lost.
import { Device, ModelFile, Segmenter } from './unetr_wgpu.js';
import { loadModel } from './download.js';
import { aborted, release } from './errors.js';
import { checkSupport } from './support.js';

/** Losses in a row, without a window between them, after which a device is given up. */
const MOST_LOSSES = 3;

export class Held {
  device = null;
  segmenter = null;
  /** Time of one window of this model on this device, once it is known. */
  windowMs = null;
  #adapter = null;
  #request = null;

  async open() {
    if (!this.device) {
      const { adapter, software } = await checkSupport();
      this.#adapter = adapter;
      this.device = await Device.open(adapter?.name ?? '', software);
    }
    return this;
  }

  report() {
    const { vendor, architecture } = this.#adapter ?? {};
    return { ...this.device.report(), vendor, architecture };
  }

  /** Puts a model on the device; the request is kept to do it again. */
  async load(request, signal, progress) {
    await this.open();
    const { source, precision, cache, sha256, resample, package: fields, prefix } = request;
    let { file, from, blob } = await loadModel({
      ...source, sha256, cache, signal,
      report: (done, total) => progress('download', done, total),
      makeFile: (total) => new ModelFile(total),
    });
    const bytes = file.length();
    const hash = file.sha256();
    progress('compile', 0, 1);
    let warnings = [];
    if (file.needsImport()) {
      const made = file.import(fields, prefix);
      warnings = made.warnings();
      file = made.intoFile();
    }
    release(this.segmenter);
    this.segmenter = null;
    // `create` takes the file, also when it fails.
    this.segmenter = await Segmenter.create(this.device, file, { halfWeights: precision === 'f16', resampleLabels: resample === 'labels' });
    if (signal?.aborted) throw aborted();
    this.windowMs = null;
    // After a lost device it must be this file again: one run is not to mix two models.
    this.#request = { ...request, sha256: hash, source: blob ? { ...source, blob } : source };
    progress('compile', 1, 1);
    return { ...this.segmenter.model(), bytes, from, blob, warnings, labelTable: this.segmenter.labelTable(), device: this.report() };
  }

  /** Calls `work(this)`; after a lost device once more on a new one. */
  async use(work) {
    try {
      return await work(this);
    } catch (error) {
      if (error.code !== 'device-lost') throw error;
      await this.#replace(error);
      return work(this);
    }
  }

  /** Measures a window; the first one is left out, because shaders are compiled for it. */
  async time(plan, signal) {
    const ticks = [];
    await plan.rehearse(this.segmenter, 2, () => {
      ticks.push(performance.now());
      return signal.aborted;
    });
    if (signal.aborted) throw aborted();
    this.windowMs = ticks[1] - ticks[0];
  }

  /** Runs a scan. A run whose device is lost goes on, on a new one, behind the last window that was saved. */
  async run(scan, overlap, part, signal, progress) {
    const plan = this.segmenter.prepare(scan, overlap ?? undefined);
    try {
      const report = plan.report();
      const warnings = [];
      const first = JSON.stringify(this.report());
      progress('preprocess', 1, 1);
      const prepared = performance.now();
      progress('infer', 0, report.windows);
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
          const outcome = await plan.run(this.segmenter, step, part);
          return { outcome, plan: report, warnings, prepared, inferMs: performance.now() - prepared };
        } catch (error) {
          if (error.code !== 'device-lost' || signal.aborted) throw error;
          losses = plan.reached() > reached ? 1 : losses + 1;
          reached = plan.reached();
          if (losses === MOST_LOSSES) throw error;
          await this.#replace(error);
          // Other limits would lay the sums out otherwise.
          if (JSON.stringify(this.report()) !== first) throw error;
          warnings.push(`the GPU device was lost and replaced; the run went on behind window ${reached} of ${report.windows}`);
          pace = null;
        }
      }
    } finally {
      release(plan);
    }
  }

  async #replace(error) {
    const { windowMs } = this;
    release(this.segmenter);
    release(this.device);
    this.segmenter = null;
    this.device = null;
    if (!this.#request) throw error;
    try {
      await this.load(this.#request, undefined, () => {});
    } catch (cause) {
      // Whatever it was, this worker has no model any more: the loss is told, and the next call starts anew.
      error.cause ??= cause;
      throw error;
    }
    this.windowMs = windowMs;
  }
}
