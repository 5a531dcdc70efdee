// The worker: downloads and holds one model, answers one request after the other, hears cancellations in between.
//
// in:  {id, type, ...}   load | plan | segment | selfTest; {type: 'cancel', id}
// out: {id, progress} | {id, value} | {id, error: {code, message}} | {fault: {code, message}}
import init, { Device, ModelFile, Scan, Segmenter, onPanic } from './unetr_wgpu.js';
import { loadModel } from './download.js';
import { aborted, typed } from './errors.js';
import { checkSupport } from './support.js';

const running = new Map();
let ready;
let device;
let segmenter;
let support;
let queue = Promise.resolve();

/** A fault whose promise will never settle: everything that waits must be told, and this worker is of no more use. */
function fault(code, message) {
  self.postMessage({ fault: { code, message } });
}

/** A trap without a panic is nearly always a failed allocation: wasm aborts there without a word. */
function trapped(error) {
  const text = String(error?.message ?? error);
  if (error instanceof WebAssembly.RuntimeError) {
    fault(/unreachable|memory/.test(text) ? 'out-of-memory' : 'internal', `the module stopped: ${text}`);
  } else {
    fault('internal', text);
  }
}

self.addEventListener('error', (event) => trapped(event.error ?? event.message));
self.addEventListener('unhandledrejection', (event) => trapped(event.reason));

async function start() {
  await init();
  onPanic((message) => fault('internal', message));
  support = await checkSupport();
  device = await Device.open(false);
}

self.addEventListener('message', ({ data }) => {
  if (data.type === 'cancel') {
    running.get(data.id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  queue = queue.then(() => answer(data, controller.signal)).finally(() => running.delete(data.id));
});

async function answer(request, signal) {
  const { id, type } = request;
  try {
    ready ??= start();
    await ready;
    if (signal.aborted) throw aborted();
    const progress = meter((value) => self.postMessage({ id, progress: value }));
    const { value, transfer = [] } = await HANDLERS[type](request, signal, progress);
    self.postMessage({ id, value }, transfer);
  } catch (error) {
    const { code, message } = typed(error);
    self.postMessage({ id, error: { code, message } });
    if (error instanceof WebAssembly.RuntimeError) trapped(error);
  }
}

/** Progress of one request: a phase, how far it is, and how long it still takes by its pace since the first step. */
function meter(post) {
  let phase;
  let first;
  let last = 0;
  return (name, done, total) => {
    const now = performance.now();
    if (name !== phase) {
      phase = name;
      first = null;
    } else if (now - last < 50 && done < total) {
      return;
    }
    last = now;
    let etaMs = null;
    if (first && done > first.done && total) etaMs = ((now - first.at) / (done - first.done)) * (total - done);
    if (!first && done > 0) first = { at: now, done };
    post({ phase: name, done, total, fraction: total ? done / total : 0, etaMs });
  };
}

function deviceReport() {
  const { name, ...rest } = device.report();
  return { name: name || support.adapter.name, ...rest, software: rest.software || support.software, vendor: support.adapter.vendor, architecture: support.adapter.architecture };
}

const HANDLERS = {
  async load({ source, precision, cache, sha256, resample }, signal, progress) {
    const { file, from, blob } = await loadModel({
      ...source,
      sha256,
      cache,
      signal,
      report: (done, total) => progress('download', done, total),
      makeFile: (total) => new ModelFile(total),
    });
    const bytes = file.length();
    progress('compile', 0, 1);
    segmenter?.free();
    segmenter = undefined;
    // `create` takes the file, also when it fails.
    segmenter = await Segmenter.create(device, file, { halfWeights: precision === 'f16', resampleLabels: resample === 'labels' });
    if (signal.aborted) throw aborted();
    progress('compile', 1, 1);
    return { value: { ...segmenter.model(), bytes, from, blob, labelTable: segmenter.labelTable(), device: deviceReport() } };
  },

  async plan({ input, overlap }) {
    const plan = segmenter.prepare(await read(input), overlap ?? undefined);
    try {
      return { value: plan.report() };
    } finally {
      plan.free();
    }
  },

  async segment({ input, overlap }, signal, progress) {
    const timings = {};
    const start = performance.now();
    progress('preprocess', 0, 1);
    const scan = await read(input);
    if (signal.aborted) {
      scan.free();
      throw aborted();
    }
    const plan = segmenter.prepare(scan, overlap ?? undefined);
    const report = plan.report();
    progress('preprocess', 1, 1);
    const prepared = performance.now();
    timings.preprocessMs = prepared - start;
    progress('infer', 0, report.windows);
    const outcome = await segmenter.run(plan, (done, total) => {
      progress('infer', done, total);
      return signal.aborted;
    });
    const inferred = performance.now();
    timings.inferMs = inferred - prepared;
    progress('postprocess', 0, 1);
    try {
      const value = {
        labels: outcome.labels(),
        dims: Array.from(outcome.dims()),
        affine: rows(outcome.affine()),
        statistics: outcome.statistics(),
        statisticsCsv: outcome.statisticsCsv(),
        statisticsJson: outcome.statisticsJson(),
        labelTable: segmenter.labelTable(),
        provenance: { ...outcome.provenance(), started: new Date(performance.timeOrigin + start).toISOString() },
        nifti: outcome.toNifti(),
        plan: report,
        warnings: report.warnings,
        device: deviceReport(),
        timings,
      };
      timings.postprocessMs = performance.now() - inferred;
      timings.totalMs = performance.now() - start;
      value.provenance.seconds = timings.totalMs / 1000;
      progress('postprocess', 1, 1);
      return { value, transfer: [value.labels.buffer, value.nifti.buffer] };
    } finally {
      outcome.free();
    }
  },

  async selfTest(_request, signal, progress) {
    const kernels = await device.selfTest((done, total) => {
      progress('selftest', done, total);
      return signal.aborted;
    });
    if (signal.aborted) throw aborted();
    return { value: { ok: kernels.every((k) => k.ok), kernels, device: deviceReport() } };
  },
};

async function read(input) {
  if (input.voxels) {
    const { data, channels = 1, dims, affine } = input.voxels;
    return Scan.fromVoxels(data, channels, Uint32Array.from(dims), Float64Array.from(affine.flat()));
  }
  const files = await Promise.all(input.files.map(async (f) => new Uint8Array(await f.blob.arrayBuffer())));
  return Scan.fromFiles(files, input.files.map((f) => f.name));
}

function rows(flat) {
  return [0, 4, 8, 12].map((at) => Array.from(flat.subarray(at, at + 4)));
}
