// One device and the models on it, behind a port: in a worker the worker's own, in a page one end of a channel. Answers one
// request after the other and hears cancellations in between; downloads and compilers run beside whatever is being answered.
//
// in:  {id, type, model, ...}   load | unload | compile | plan | segment | amend | compare | bench | import | nifti | selfTest;
//      {type: 'cancel', id}; {type: 'end'} from a page that leaves
// out: {id, progress} | {id, part} | {id, value} | {id, error: {code, message}} | {fault: {code, message}}
import init, { Scan, onPanic } from './unetr_wgpu.js';
import { Held, Model, fetchModel } from './device.js';
import { UnetrError, aborted, plain, reasonOf, release, typed } from './errors.js';
import { floats } from './grid.js';

/**
 * @import { LoadRequest, Report } from './device.js'
 * @import { Loaded } from './download.js'
 * @import { Folder } from './folder.js'
 * @import { NamedBlob, ScanFiles, ScanVoxels } from './sources.js'
 * @import { Plan, Progress } from './types.js'
 * @import { ModelFile, Outcome } from './unetr_wgpu.js'
 */

/** @typedef {{ postMessage(message: unknown, transfer?: Transferable[]): void, addEventListener(name: 'message', listener: (event: MessageEvent) => void): void }} Port */

/** To whom this answers. @type {Port | null} */
let page = null;
/** What a panic of the module said, after which none of it is to be trusted. */
let broken = '';
/** @type {Map<number, AbortController>} */
const running = new Map();
let held = new Held();
/** @type {Promise<void> | undefined} */
let ready;
/** @type {WebAssembly.Memory} */
let memory;
/** @type {Promise<unknown>} */
let queue = Promise.resolve();

/**
 * A fault whose promise will never settle: everything that waits must be told, and this worker is of no more use.
 * @param {import('./errors.js').ErrorCode} code
 * @param {string} message
 */
function fault(code, message) {
  broken ||= message;
  page?.postMessage({ fault: { code, message } });
}

/**
 * A trap without a panic is nearly always a failed allocation: wasm aborts there without a word.
 * @param {unknown} error
 */
function trapped(error) {
  const text = reasonOf(error);
  if (error instanceof WebAssembly.RuntimeError) {
    if (/unreachable|memory/.test(text)) {
      fault('out-of-memory', 'the tab had no memory left for this scan and model: close other tabs, or take a smaller scan');
    } else {
      fault('internal', `the module stopped: ${text}`);
    }
  } else {
    fault('internal', text);
  }
}

/**
 * Answers what comes through a port from now on. A thread holds the module once, so it has one port at a time.
 * @param {Port} port
 * @param {GPUDevice} [device] of the page, in place of one that is opened here
 */
export function serve(port, device) {
  if (page && !held.empty) throw new UnetrError('bad-input', 'models on another GPUDevice of this page are in use: dispose of them first');
  // In a worker of its own whoever made it makes another.
  if (broken) throw new UnetrError('internal', `the module stopped in this page (${broken}): reload it`);
  if (page) {
    // It only waited for the next model.
    page.postMessage({ fault: { code: 'aborted', message: 'another GPUDevice took the place of this one' } });
    end(page);
  }
  page = port;
  held = new Held(device);
  port.addEventListener('message', ({ data }) => {
    if (data.type === 'cancel') running.get(data.id)?.abort();
    else if (data.type === 'end') end(port);
    else hear(data);
  });
  if (device) return;
  self.addEventListener('error', (event) => trapped(event.error ?? event.message));
  self.addEventListener('unhandledrejection', (event) => trapped(event.reason));
}

/**
 * Ends what runs for a port, and takes the models off the device, which stays the page's.
 * @param {Port} port
 */
function end(port) {
  if (page !== port) return;
  for (const controller of running.values()) controller.abort();
  page = null;
  const left = held;
  inTurn(() => left.release());
}

async function start() {
  ({ memory } = await init());
  onPanic((/** @type {string} */ message) => fault('internal', message));
}

/** @param {{ id: number, type: string }} data */
function hear(data) {
  const controller = new AbortController();
  running.set(data.id, controller);
  const answered = () => answer(data, controller.signal);
  (BESIDE.has(data.type) ? answered() : inTurn(answered)).finally(() => running.delete(data.id));
}

/**
 * Calls `work` behind everything that came before.
 * @template T
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>}
 */
function inTurn(work) {
  const done = queue.then(work);
  queue = done.catch(() => {});
  return done;
}

/**
 * @param {{ id: number, type: string }} request
 * @param {AbortSignal} signal
 */
async function answer(request, signal) {
  const { id, type } = request;
  try {
    ready ??= start();
    await ready;
    if (signal.aborted) throw aborted();
    const progress = meter((value) => page?.postMessage({ id, progress: value }));
    const { value = null, transfer = [] } = await HANDLERS[type](request, signal, progress);
    page?.postMessage({ id, value }, transfer);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) trapped(error);
    else page?.postMessage({ id, error: plain(typed(error)) });
  }
}

/**
 * Progress of one request: a phase, how far it is, and how long it still takes by its pace since the first step.
 * @param {(progress: Progress) => void} post
 * @returns {Report}
 */
function meter(post) {
  /** @type {Progress['phase'] | undefined} */
  let phase;
  /** @type {{ at: number, done: number } | null} */
  let first = null;
  let last = 0;
  return (name, done, total) => {
    const now = performance.now();
    if (name !== phase) {
      phase = name;
      first = null;
    } else if (name !== 'compile' && now - last < 50 && done < total) {
      return;
    }
    last = now;
    let etaMs = null;
    if (first && done > first.done && total) etaMs = ((now - first.at) / (done - first.done)) * (total - done);
    if (!first && done > 0) first = { at: now, done };
    post({ phase: name, done, total, fraction: total ? done / total : 0, etaMs });
  };
}

/** What waits for nothing that is being answered: it takes its own turn for what must not meet another. */
const BESIDE = new Set(['load', 'compile']);

/**
 * The model that a request is about.
 * @param {number} id
 */
function model(id) {
  const found = held.model(id);
  if (!found) throw new UnetrError('internal', 'this model is not loaded');
  return found;
}

/**
 * @param {LoadRequest & { model: number }} request
 * @param {Loaded<ModelFile | Folder>} read
 * @param {AbortSignal} signal
 */
async function put(request, read, signal) {
  if (signal.aborted) {
    release(read.file);
    throw aborted();
  }
  const made = new Model(held, request);
  const { segmenter, known } = await made.put(read);
  held.add(request.model, made);
  return { value: { ...segmenter.model(), ...known, labelTable: segmenter.labelTable(), device: held.report() } };
}

/** @type {Record<string, (request: any, signal: AbortSignal, progress: Report) => Promise<{ value?: unknown, transfer?: Transferable[] }>>} */
const HANDLERS = {
  async load(request, signal, progress) {
    for (let first = true; ; first = false) {
      const read = await fetchModel(request, signal, progress);
      try {
        return await inTurn(() => put(request, read, signal));
      } catch (error) {
        // What lay here is gone now; perhaps the server has a better one.
        const { code, fields } = typed(error);
        if (!first || !read.stored || code !== 'bad-model' || fields) throw error;
      }
    }
  },

  async unload({ model: id }) {
    held.remove(id);
    return {};
  },

  async compile({ model: id }, signal, progress) {
    const segmenter = await inTurn(() => model(id).ready());
    await model(id).compile(segmenter, null, signal, progress);
    return {};
  },

  async plan({ model: id, input, overlap, measure }, signal, progress) {
    const used = model(id);
    return { value: await used.use(async (segmenter) => {
      const plan = segmenter.prepare(await read(input), overlap ?? undefined);
      try {
        if (measure && used.windowMs === null) await used.time(segmenter, plan, signal, progress);
        return timed(plan.report(), used.windowMs);
      } finally {
        release(plan);
      }
    }) };
  },

  async segment({ id, model: of, input, overlap, uncertainty, parts }, signal, progress) {
    const used = model(of);
    const start = performance.now();
    progress('preprocess', 0, 1);
    const scan = await read(input);
    if (signal.aborted) {
      release(scan);
      throw aborted();
    }
    /** @type {Parameters<Model['run']>[2]} */
    const part = parts ? (begin, extent, labels) => page?.postMessage({ id, part: { begin, extent, labels } }, [labels.buffer]) : () => {};
    const run = await used.run(scan, { overlap, uncertainty }, part, signal, progress);
    progress('postprocess', 0, 1);
    const inferred = performance.now();
    const { outcome } = run;
    const windowMs = used.windowMs ?? run.inferMs / run.plan.windows;
    try {
      const value = {
        ...described(outcome),
        uncertainty: outcome.uncertainty() ?? null,
        uncertaintyNifti: outcome.uncertaintyNifti() ?? null,
        labelTable: (await used.ready()).labelTable(),
        plan: timed(run.plan, windowMs),
        windowMs,
        warnings: [...run.plan.warnings, ...run.warnings, ...outcome.doubts()],
        doubts: [...run.plan.doubts, ...outcome.doubts()],
        recoveries: run.warnings.length,
        device: held.report(),
        timings: { preprocessMs: run.prepared - start, compileMs: run.compileMs, inferMs: run.inferMs, postprocessMs: 0, totalMs: 0 },
        wasmBytes: memory.buffer.byteLength,
      };
      value.timings.postprocessMs = performance.now() - inferred;
      value.timings.totalMs = performance.now() - start;
      value.provenance.started = new Date(performance.timeOrigin + start).toISOString();
      value.provenance.seconds = value.timings.totalMs / 1000;
      progress('postprocess', 1, 1);
      const { uncertainty: map, uncertaintyNifti: file } = value;
      return { value, transfer: buffers(value.labels, value.nifti, ...(map && file ? [map, file] : [])) };
    } finally {
      release(outcome);
    }
  },

  async amend({ model: id, input, overlap, labels, corrected }) {
    return model(id).use(async (segmenter) => {
      const plan = segmenter.prepare(await read(input), overlap ?? undefined);
      let outcome;
      try {
        outcome = plan.amended(segmenter, labels, corrected);
        const value = { ...described(outcome), uncertainty: null, uncertaintyNifti: null, labelTable: segmenter.labelTable(), warnings: plan.report().warnings };
        return { value, transfer: buffers(value.labels, value.nifti) };
      } finally {
        release(outcome);
        release(plan);
      }
    });
  },

  async compare({ model: id, labels, dims, affine, truth }) {
    const files = await bytes(truth);
    const segmenter = await model(id).ready();
    const names = truth.map((/** @type {NamedBlob} */ f) => f.name);
    return { value: segmenter.compare(labels, Uint32Array.from(dims), Float64Array.from(affine.flat()), files, names) };
  },

  async bench({ model: id, repeats }, signal) {
    const segmenter = await model(id).ready();
    const report = await segmenter.bench(repeats, () => signal.aborted);
    return { value: { ...report, device: held.report() } };
  },

  async import({ source, sha256, package: fields, prefix }, signal, progress) {
    const { file } = await fetchModel({ source, sha256, cache: 'none' }, signal, progress);
    const made = file.import(fields, prefix);
    const value = { warnings: made.warnings(), bytes: made.bytes() };
    release(made);
    return { value, transfer: buffers(value.bytes) };
  },

  async nifti({ input }) {
    const scan = await read(input);
    try {
      const value = { nifti: scan.toNifti(), warnings: scan.warnings() };
      return { value, transfer: buffers(value.nifti) };
    } finally {
      release(scan);
    }
  },

  async selfTest(_request, signal, progress) {
    await held.open();
    const kernels = await held.opened.device.selfTest((/** @type {number} */ done, /** @type {number} */ total) => {
      progress('selftest', done, total);
      return signal.aborted;
    });
    if (signal.aborted) throw aborted();
    return { value: { ok: kernels.every((/** @type {{ ok: boolean }} */ k) => k.ok), kernels, device: held.report() } };
  },
};

/** @param {...(Uint8Array | Float32Array)} arrays */
function buffers(...arrays) {
  return arrays.map(({ buffer }) => /** @type {ArrayBuffer} */ (buffer));
}

/**
 * What JavaScript is told of an outcome.
 * @param {Outcome} outcome
 */
function described(outcome) {
  return {
    labels: outcome.labels(),
    dims: Array.from(outcome.dims()),
    affine: rows(outcome.affine()),
    statistics: outcome.statistics(),
    statisticsCsv: outcome.statisticsCsv(),
    statisticsJson: outcome.statisticsJson(),
    provenance: outcome.provenance(),
    nifti: outcome.toNifti(),
  };
}

/**
 * @param {Plan} plan
 * @param {number | null} windowMs
 */
function timed(plan, windowMs) {
  return { ...plan, windowMs, estimatedMs: windowMs === null ? null : windowMs * plan.windows };
}

/** @param {NamedBlob[]} files */
function bytes(files) {
  return Promise.all(files.map(async ({ name, blob }) => {
    try {
      return new Uint8Array(await blob.arrayBuffer());
    } catch (error) {
      // Moved or changed since it was chosen.
      throw new UnetrError('bad-input', `${name || 'a file'} cannot be read (${reasonOf(error)}): choose it again`, { cause: error });
    }
  }));
}

/** @param {ScanFiles | ScanVoxels} input */
async function read(input) {
  if ('voxels' in input) {
    const { channels, dims, affine } = input.voxels;
    return Scan.fromVoxels(floats(input.voxels), channels, Uint32Array.from(dims), Float64Array.from(affine.flat()));
  }
  return Scan.fromFiles(await bytes(input.files), input.files.map((f) => f.name), input.series, input.acquisition);
}

/** @param {Float64Array} flat */
function rows(flat) {
  return [0, 4, 8, 12].map((at) => Array.from(flat.subarray(at, at + 4)));
}
