import { Client } from './client.js';
import { UnetrError, unlessAborted } from './errors.js';
import { checked } from './options.js';
import { memory } from './store.js';
import { checkSupport } from './support.js';
import { here, workerFactory } from './workers.js';

export { UnetrError } from './errors.js';
export { checkSupport } from './support.js';
export { clearModels, listModels } from './store.js';

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
  throw new UnetrError('bad-input', 'the model must be a URL, a File or an ArrayBuffer');
}

function packageText(fields) {
  if (fields === undefined || fields === null) return undefined;
  return typeof fields === 'string' ? fields : JSON.stringify(fields);
}

function scanInput(scan, { series = [], acquisition = [] } = {}) {
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
    return { files, series: [series].flat(), acquisition: [acquisition].flat() };
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

/** What is being loaded, by URL. */
const loading = new Map();

/** Calls `work` once nobody else loads this URL: the second finds what the first kept. */
function behind(url, signal, work) {
  const before = loading.get(url) ?? Promise.resolve();
  const done = unlessAborted(signal, before).then(work);
  // One that leaves early leads nobody past those before it.
  const all = Promise.allSettled([before, done]).then(() => { if (loading.get(url) === all) loading.delete(url); });
  loading.set(url, all);
  return done;
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

  #load(options = {}) {
    const { model, cache = 'auto' } = this.#options;
    const { url } = modelSource(model);
    const shared = url && cache !== 'none' && cache !== false;
    return shared ? behind(url, options.signal, () => this.#put(options)) : this.#put(options);
  }

  async #put({ signal, onProgress }) {
    const { model, precision = 'f32', cache = 'auto', sha256, resample = 'probabilities', package: fields, prefix } = this.#options;
    const source = modelSource(model, cache);
    this.#client.start();
    const { generation } = this.#client;
    const { blob, package: metadata, ...loaded } = await this.#client.ask(
      { type: 'load', model: this.#number, source, precision, cache, sha256, resample, package: packageText(fields), prefix },
      { signal, onProgress },
    );
    if (blob) memory.set(source.url, blob);
    const { parameters, facts, bytes, from, warnings } = loaded;
    this.model = { ...metadata, sha256: loaded.sha256, parameters, facts, bytes, from, warnings };
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
    await unlessAborted(signal, this.load({ onProgress }));
  }

  async compile(options) {
    const { signal, onProgress } = checked('compile', options);
    await this.#ask({ type: 'compile' }, { signal, onProgress });
  }

  async plan(scan, options) {
    const { overlap, measure = false, signal, onProgress, ...chosen } = checked('plan', options);
    return this.#ask({ type: 'plan', input: scanInput(scan, chosen), overlap, measure }, { signal, onProgress });
  }

  async segment(scan, options) {
    const { overlap, signal, onProgress, onLabels, ...chosen } = checked('segment', options);
    const request = { type: 'segment', input: scanInput(scan, chosen), overlap, parts: Boolean(onLabels) };
    return new SegmentationResult(await this.#ask(request, { signal, onProgress, onPart: onLabels }));
  }

  async benchmark(options) {
    const { repeats = 5, signal } = checked('benchmark', options);
    return this.#ask({ type: 'bench', repeats }, { signal });
  }

  async amend(scan, labels, options) {
    const { overlap, corrected = true, signal, ...chosen } = checked('amend', options);
    return new SegmentationResult(await this.#ask({ type: 'amend', input: scanInput(scan, chosen), overlap, labels, corrected }, { signal }));
  }

  async compare({ labels, dims, affine }, reference, options) {
    const { signal } = checked('compare', options);
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

export async function createSegmenter(options) {
  const { signal, onProgress, assetPath, worker, ...rest } = checked('createSegmenter', options);
  await requireSupport();
  modelSource(rest.model);
  const { key, make } = workerFactory({ assetPath, worker });
  const segmenter = new Segmenter(Client.share(key, make), rest);
  try {
    await segmenter.load({ signal, onProgress });
    return segmenter;
  } catch (error) {
    segmenter.dispose();
    throw error;
  }
}

/** A worker for one request. */
function alone(assets) {
  const client = new Client(workerFactory(assets).make);
  client.start();
  return client;
}

/** Makes a model package of a PyTorch checkpoint or a state dict. */
export async function importCheckpoint(checkpoint, options) {
  const { package: fields, prefix, sha256, signal, onProgress, ...assets } = checked('importCheckpoint', options);
  const source = modelSource(checkpoint);
  const client = alone(assets);
  try {
    const request = { type: 'import', source, package: packageText(fields), prefix, sha256 };
    const { bytes, warnings } = await client.ask(request, { signal, onProgress });
    return { model: new Blob([bytes]), warnings };
  } finally {
    client.close(new UnetrError('aborted', 'the import is over'));
  }
}

/** A scan as one NIfTI file, as viewers read it. Needs no GPU. */
export async function scanToNifti(scan, options) {
  const { series, acquisition, signal, ...assets } = checked('scanToNifti', options);
  const input = scanInput(scan, { series, acquisition });
  const client = alone(assets);
  try {
    return await client.ask({ type: 'nifti', input }, { signal });
  } finally {
    client.close(new UnetrError('aborted', 'the scan is read'));
  }
}

export async function selfTest(options) {
  const { signal, onProgress, ...assets } = checked('selfTest', options);
  await requireSupport();
  const client = alone(assets);
  try {
    return await client.ask({ type: 'selfTest' }, { signal, onProgress });
  } finally {
    client.close(new UnetrError('aborted', 'the self-test is over'));
  }
}
