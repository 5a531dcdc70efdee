import { Client } from './client.js';
import { UnetrError, aborted, throwIfAborted } from './errors.js';
import { memory } from './store.js';
import { checkSupport } from './support.js';

export { UnetrError } from './errors.js';
export { checkSupport } from './support.js';
export { clearModels, listModels } from './store.js';

function workerFactory(assetPath, worker) {
  if (worker) return worker;
  if (assetPath === undefined) {
    // Written this way so that bundlers find the file.
    return () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unetr' });
  }
  const script = new URL('worker.js', new URL(String(assetPath).replace(/\/?$/, '/'), here()));
  const options = { type: 'module', name: 'unetr' };
  if (script.origin === globalThis.origin) return () => new Worker(script, options);
  // A worker of another origin is refused, a module that imports one is not, if that origin allows it by CORS.
  return () => {
    const address = URL.createObjectURL(new Blob([`import ${JSON.stringify(script.href)};`], { type: 'text/javascript' }));
    const worker = new Worker(address, options);
    worker.addEventListener('message', () => URL.revokeObjectURL(address), { once: true });
    return worker;
  };
}

/** What relative URLs are relative to; workers have no document. */
function here() {
  return globalThis.document?.baseURI ?? location.href;
}

/** Refuses a misspelt choice instead of ignoring it. */
function choose(options, name, values) {
  const value = options[name];
  if (value === undefined || values.includes(value)) return;
  throw new UnetrError('bad-input', `options.${name} is ${JSON.stringify(value)}: it must be one of ${values.map((v) => JSON.stringify(v)).join(', ')}`);
}

async function requireSupport() {
  const support = await checkSupport();
  if (!support.webgpu) throw new UnetrError('no-webgpu', support.reason);
  return support;
}

function modelSource(model, cache) {
  if (model instanceof Blob) return { blob: model };
  // A Blob can be read again should the worker have to be replaced; a transferred buffer could not.
  if (model instanceof ArrayBuffer || ArrayBuffer.isView(model)) return { blob: new Blob([model]) };
  if (typeof model === 'string' || model instanceof URL) {
    if (!URL.canParse(model, here())) throw new UnetrError('bad-input', `options.model is no URL: ${model}`);
    const url = new URL(model, here()).href;
    const kept = cache !== 'none' && cache !== false && memory.get(url);
    return kept ? { url, blob: kept } : { url };
  }
  throw new UnetrError('bad-input', 'options.model must be a URL, a File or an ArrayBuffer');
}

function packageText(fields) {
  if (fields === undefined || fields === null) return undefined;
  return typeof fields === 'string' ? fields : JSON.stringify(fields);
}

function scanInput(scan, series = []) {
  const all = Array.isArray(scan) ? scan : [scan];
  if (all.length > 0 && all.every((f) => f instanceof Blob || f instanceof ArrayBuffer || ArrayBuffer.isView(f) && !scan.dims)) {
    const files = all.map((f) => ({ name: f.name ?? '', blob: f instanceof Blob ? f : new Blob([f]) }));
    // A .img follows its .hdr whatever order they were dropped in.
    const image = ({ name }) => Number(/\.img(\.gz)?$/i.test(name));
    if (files.some(image)) {
      const place = (file) => files.findIndex((f) => stem(f) === stem(file));
      const placed = files.map((file) => ({ file, at: place(file) }));
      placed.sort((a, b) => a.at - b.at || image(a.file) - image(b.file));
      files.splice(0, files.length, ...placed.map(({ file }) => file));
    }
    return { files, series: [series].flat() };
  }
  if (scan?.data && scan.dims && scan.affine) {
    const data = scan.data instanceof Float32Array ? scan.data : Float32Array.from(scan.data);
    return { voxels: { data, channels: scan.channels ?? 1, dims: Array.from(scan.dims), affine: Array.from(scan.affine) } };
  }
  throw new UnetrError('bad-input', 'the scan must be a File, several Files, an ArrayBuffer or {data, dims, channels, affine}');
}

function stem({ name }) {
  return name.replace(/\.(hdr|img)(\.gz)?$/i, '');
}

/** A segmented scan; plain data, valid after the segmenter is disposed. */
export class SegmentationResult {
  #nifti;
  #csv;
  #json;

  constructor({ nifti, statisticsCsv, statisticsJson, ...rest }) {
    Object.assign(this, rest);
    this.#nifti = nifti;
    this.#csv = statisticsCsv;
    this.#json = statisticsJson;
  }

  toNifti() {
    return this.#nifti;
  }

  statisticsCsv() {
    return this.#csv;
  }

  statisticsJson() {
    return this.#json;
  }
}

class Segmenter {
  #client;
  #options;
  #number;
  /** The client's worker that has this model. */
  #generation = null;
  #disposed = false;
  #loading = null;

  constructor(client, options) {
    this.#client = client;
    this.#options = options;
    this.#number = client.number();
  }

  /** Starts a worker and gives it the model; once, however many ask for it. */
  load(options) {
    this.#loading ??= this.#load(options).finally(() => { this.#loading = null; });
    return this.#loading;
  }

  async #load({ signal, onProgress } = {}) {
    const { model, precision = 'f32', cache = 'auto', sha256, resample = 'probabilities', package: fields, prefix } = this.#options;
    const source = modelSource(model, cache);
    this.#client.start();
    const { generation } = this.#client;
    const { blob, package: metadata, ...loaded } = await this.#client.ask(
      { type: 'load', model: this.#number, source, precision, cache, sha256, resample, package: packageText(fields), prefix },
      { signal, onProgress },
    );
    if (blob) memory.set(source.url, blob);
    const { parameters, bytes, from, warnings } = loaded;
    this.model = { ...metadata, sha256: loaded.sha256, parameters, bytes, from, warnings };
    this.labelTable = loaded.labelTable;
    this.device = loaded.device;
    this.#generation = generation;
  }

  async #ask(request, options) {
    if (this.#disposed) throw new UnetrError('bad-input', 'this segmenter was disposed');
    if (this.#loading || !this.#client.alive || this.#generation !== this.#client.generation) await this.#reload(options);
    return this.#client.ask({ model: this.#number, ...request }, options);
  }

  /** Loads anew for whoever asks: no one caller's signal ends what others wait for too, but each may leave. */
  async #reload({ signal, onProgress }) {
    throwIfAborted(signal);
    const left = Promise.withResolvers();
    const leave = () => left.reject(aborted(signal.reason));
    signal?.addEventListener('abort', leave);
    try {
      await Promise.race([this.load({ onProgress }), left.promise]);
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  async compile({ signal, onProgress } = {}) {
    await this.#ask({ type: 'compile' }, { signal, onProgress });
  }

  async plan(scan, { overlap, series, measure = false, signal, onProgress } = {}) {
    return this.#ask({ type: 'plan', input: scanInput(scan, series), overlap, measure }, { signal, onProgress });
  }

  async segment(scan, { overlap, series, signal, onProgress, onLabels } = {}) {
    const request = { type: 'segment', input: scanInput(scan, series), overlap, parts: Boolean(onLabels) };
    return new SegmentationResult(await this.#ask(request, { signal, onProgress, onPart: onLabels }));
  }

  async benchmark({ repeats = 5, signal } = {}) {
    return this.#ask({ type: 'bench', repeats }, { signal });
  }

  async compare({ labels, dims, affine }, reference, { signal } = {}) {
    const { files } = scanInput(reference);
    if (!files) throw new UnetrError('bad-input', 'the reference must be a label file: a File or an ArrayBuffer');
    return this.#ask({ type: 'compare', labels, dims, affine, truth: files }, { signal });
  }

  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#client.unload(this.#number, new UnetrError('aborted', 'the segmenter was disposed'));
    this.#client.leave();
  }
}

export async function createSegmenter(options = {}) {
  choose(options, 'precision', ['f32', 'f16']);
  choose(options, 'resample', ['probabilities', 'labels']);
  choose(options, 'cache', ['auto', 'opfs', 'cache', 'memory', 'none', false]);
  modelSource(options.model);
  await requireSupport();
  const { signal, onProgress, assetPath, worker, ...rest } = options;
  const key = worker ?? (assetPath === undefined ? '' : String(new URL(assetPath, here())));
  const segmenter = new Segmenter(Client.share(key, workerFactory(assetPath, worker)), rest);
  try {
    await segmenter.load({ signal, onProgress });
    return segmenter;
  } catch (error) {
    segmenter.dispose();
    throw error;
  }
}

/** Makes a model package of a PyTorch checkpoint or a state dict. */
export async function importCheckpoint(checkpoint, { package: fields, prefix, sha256, signal, onProgress, assetPath, worker } = {}) {
  const client = new Client(workerFactory(assetPath, worker));
  client.start();
  try {
    const request = { type: 'import', source: modelSource(checkpoint), package: packageText(fields), prefix, sha256 };
    const { bytes, warnings } = await client.ask(request, { signal, onProgress });
    return { model: new Blob([bytes]), warnings };
  } finally {
    client.close(new UnetrError('aborted', 'the import is over'));
  }
}

/** A scan as one NIfTI file, as viewers read it. Needs no GPU. */
export async function scanToNifti(scan, { series, signal, assetPath, worker } = {}) {
  const client = new Client(workerFactory(assetPath, worker));
  client.start();
  try {
    return await client.ask({ type: 'nifti', input: scanInput(scan, series) }, { signal });
  } finally {
    client.close(new UnetrError('aborted', 'the scan is read'));
  }
}

export async function selfTest({ signal, onProgress, assetPath, worker } = {}) {
  await requireSupport();
  const client = new Client(workerFactory(assetPath, worker));
  client.start();
  try {
    return await client.ask({ type: 'selfTest' }, { signal, onProgress });
  } finally {
    client.close(new UnetrError('aborted', 'the self-test is over'));
  }
}
