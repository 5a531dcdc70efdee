import { Client } from './client.js';
import { UnetrError } from './errors.js';
import { checkSupport } from './support.js';

export { UnetrError } from './errors.js';
export { checkSupport } from './support.js';
export { clearModels, listModels } from './store.js';

/** Models whose download could be kept nowhere else, by URL. */
const memory = new Map();

function workerFactory(assetPath, worker) {
  if (worker) return worker;
  if (assetPath === undefined) {
    // Written this way so that bundlers find the file.
    return () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unetr' });
  }
  const base = new URL(String(assetPath).replace(/\/?$/, '/'), document.baseURI);
  return () => new Worker(new URL('worker.js', base), { type: 'module', name: 'unetr' });
}

async function requireSupport() {
  const support = await checkSupport();
  if (!support.webgpu) throw new UnetrError('no-webgpu', support.reason);
  return support;
}

function modelSource(model) {
  if (model instanceof Blob) return { blob: model };
  // A Blob can be read again should the worker have to be replaced; a transferred buffer could not.
  if (model instanceof ArrayBuffer || ArrayBuffer.isView(model)) return { blob: new Blob([model]) };
  if (typeof model === 'string' || model instanceof URL) {
    const url = new URL(model, document.baseURI).href;
    return memory.has(url) ? { url, blob: memory.get(url) } : { url };
  }
  throw new UnetrError('bad-input', 'options.model must be a URL, a File or an ArrayBuffer');
}

function scanInput(scan) {
  const all = Array.isArray(scan) ? scan : [scan];
  if (all.length > 0 && all.every((f) => f instanceof Blob || f instanceof ArrayBuffer || ArrayBuffer.isView(f) && !scan.dims)) {
    const files = all.map((f, i) => ({ name: f.name ?? `channel ${i + 1}`, blob: f instanceof Blob ? f : new Blob([f]) }));
    // A .img follows its .hdr whatever order they were dropped in.
    const rank = ({ name }) => (/\.img(\.gz)?$/i.test(name) ? 1 : 0);
    if (files.some(rank)) files.sort((a, b) => stem(a).localeCompare(stem(b)) || rank(a) - rank(b));
    return { files };
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
  #disposed = false;
  #loading = null;

  constructor(client, options) {
    this.#client = client;
    this.#options = options;
  }

  /** Starts a worker and gives it the model; once, however many ask for it. */
  load(options) {
    this.#loading ??= this.#load(options).finally(() => { this.#loading = null; });
    return this.#loading;
  }

  async #load({ signal, onProgress } = {}) {
    const { model, precision = 'f32', cache = 'auto', sha256, resample = 'probabilities' } = this.#options;
    const source = modelSource(model);
    this.#client.start();
    try {
      const { blob, package: metadata, ...loaded } = await this.#client.ask(
        { type: 'load', source, precision, cache, sha256, resample },
        { signal, onProgress },
      );
      if (blob) memory.set(source.url, blob);
      this.model = { ...metadata, sha256: loaded.sha256, parameters: loaded.parameters, bytes: loaded.bytes, from: loaded.from };
      this.labelTable = loaded.labelTable;
      this.device = loaded.device;
    } catch (error) {
      this.#client.close(error);
      throw error;
    }
  }

  async #ask(request, options) {
    if (this.#disposed) throw new UnetrError('bad-input', 'this segmenter was disposed');
    if (this.#loading || !this.#client.alive) await this.load(options);
    return this.#client.ask(request, options);
  }

  async plan(scan, { overlap, signal } = {}) {
    return this.#ask({ type: 'plan', input: scanInput(scan), overlap }, { signal });
  }

  async segment(scan, { overlap, signal, onProgress } = {}) {
    return new SegmentationResult(await this.#ask({ type: 'segment', input: scanInput(scan), overlap }, { signal, onProgress }));
  }

  dispose() {
    this.#disposed = true;
    this.#client.close(new UnetrError('aborted', 'the segmenter was disposed'));
  }
}

export async function createSegmenter(options) {
  await requireSupport();
  const { signal, onProgress, assetPath, worker, ...rest } = options;
  const segmenter = new Segmenter(new Client(workerFactory(assetPath, worker)), rest);
  await segmenter.load({ signal, onProgress });
  return segmenter;
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
