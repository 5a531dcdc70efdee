import { UnetrError, aborted, reasonOf, release, throwIfAborted } from './errors.js';
import { checkAnswer, fetchShard, isIndex, readIndex, shardsFrom } from './shards.js';
import { openStore } from './store.js';

/** @import { Meta, Store } from './store.js' */

/**
 * @typedef {object} Target What a model is streamed into.
 * @property {(chunk: Uint8Array) => void} push
 * @property {() => number} length
 * @property {(bytes: Uint8Array) => void} copyTo
 * @property {() => string} sha256
 * @property {() => void} free
 */

/**
 * @template {Target} T
 * @typedef {object} Reading How a model is read.
 * @property {AbortSignal} [signal]
 * @property {(done: number, total: number) => void} report
 * @property {(total: number) => T} makeFile
 */

/**
 * @template T
 * @typedef {object} Loaded
 * @property {T} file
 * @property {'given' | 'network' | 'opfs' | 'cache' | 'memory'} from
 * @property {boolean} stored It was there before, so that asking for it again may give another.
 * @property {() => Promise<Blob | void>} keep To be called by whoever opened the model; gives a blob only where the page must hold it in memory.
 * @property {() => Promise<void>} drop To be called by whoever found that it is no model: what was stored is gone.
 */

/**
 * @template {Target} T
 * @typedef {object} Download
 * @property {T | null} file
 * @property {number} total
 * @property {string | null} etag
 * @property {boolean} resumable
 * @property {boolean} written
 * @property {boolean} stored
 */

const ATTEMPTS = 5;

/**
 * Streams a model into `makeFile(total)`.
 *
 * A broken connection goes on where it stopped, after a reload too if the store can. The hash is checked on every load:
 * against the one the caller gave, and against the one found when the file was stored. A page in place of a file is refused.
 *
 * @template {Target} T
 * @param {Reading<T> & { url?: string, blob?: Blob, sha256?: string, cache?: 'auto' | 'opfs' | 'cache' | 'memory' | 'none' | false }} options
 * @returns {Promise<Loaded<T>>}
 */
export async function loadModel({ url, blob, sha256, cache, signal, report, makeFile }) {
  const nothing = async () => {};
  if (blob) {
    const file = makeFile(blob.size);
    await stream(blob.stream(), blob.size, file, signal, report);
    if (!url) {
      verify(file, sha256);
      return { file, from: 'given', stored: false, keep: nothing, drop: nothing };
    }
    if (!sha256 || matches(file, sha256)) return { file, from: 'memory', stored: false, keep: async () => blob, drop: nothing };
    // Another file is wanted now than the one that was kept.
    release(file);
  }
  if (!url) throw new UnetrError('internal', 'a model must have an address or a file');
  const store = await openStore(url, cache);
  const kept = await store?.kept().catch(() => null);
  // One that is not wanted now stays until the one that is was opened.
  if (store && kept && (!sha256 || kept.sha256 === sha256.toLowerCase())) {
    const file = await stored(store, kept, { signal, report, makeFile });
    if (file) return { file, from: store.kind, stored: true, keep: nothing, drop: () => store.dropKept() };
    await store.dropKept();
  }
  const { file, etag, written, stored: before } = await download({ url, store, signal, report, makeFile, sha256 });
  const meta = { etag, total: file.length(), sha256: file.sha256() };
  const spare = written || cache !== 'auto' ? undefined : copy(file);
  return {
    file,
    from: 'network',
    stored: before,
    // A model that cannot be kept is still a model.
    keep: () => (written && store ? store.keep(meta).catch(() => store.dropPart().catch(() => {})) : Promise.resolve(spare)),
    drop: async () => { if (written) await store?.dropPart().catch(() => {}); },
  };
}

/**
 * The whole file for the page's memory; nothing if that has no room either.
 * @param {Target} file
 */
function copy(file) {
  try {
    const bytes = new Uint8Array(file.length());
    file.copyTo(bytes);
    return new Blob([bytes]);
  } catch {
    return undefined;
  }
}

/**
 * The stored file, or null if it is damaged.
 * @template {Target} T
 * @param {Store} store
 * @param {Meta} meta
 * @param {Reading<T>} reading
 */
async function stored(store, meta, { signal, report, makeFile }) {
  /** @type {T | undefined} */
  let file;
  try {
    const blob = await store.blob(meta);
    file = makeFile(blob.size);
    await stream(blob.stream(), blob.size, file, signal, report);
    verify(file, meta.sha256);
    return file;
  } catch (error) {
    release(file);
    if (codeOf(error) === 'aborted' || codeOf(error) === 'out-of-memory') throw error;
    return null;
  }
}

/** @param {unknown} error */
function codeOf(error) {
  return /** @type {{ code?: unknown } | null} */ (error)?.code;
}

/**
 * @param {Target} file
 * @param {string} sha256
 */
function matches(file, sha256) {
  return file.sha256() === sha256.toLowerCase();
}

/**
 * @param {Target} file
 * @param {string | null} [wanted]
 */
function verify(file, wanted) {
  if (!wanted) return;
  if (!matches(file, wanted)) {
    throw new UnetrError('checksum', `the model's SHA-256 is ${file.sha256()}, expected ${wanted.toLowerCase()}: the file is damaged or another one`);
  }
}

/**
 * @param {ReadableStream<Uint8Array>} source
 * @param {number} total
 * @param {Target} file
 * @param {AbortSignal | undefined} signal
 * @param {(done: number, total: number) => void} report
 * @param {(chunk: Uint8Array) => void} [onChunk]
 */
async function stream(source, total, file, signal, report, onChunk) {
  const reader = source.getReader();
  const stop = () => reader.cancel().catch(() => {});
  signal?.addEventListener('abort', stop);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      throwIfAborted(signal);
      if (done) return;
      file.push(value);
      onChunk?.(value);
      report(file.length(), total);
    }
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/**
 * @template {Target} T
 * @param {Reading<T> & { url: string, store: Store | null, sha256?: string }} options
 */
async function download({ url, store, signal, report, makeFile, sha256 }) {
  /** @type {Download<T>} */
  const state = { file: null, total: 0, etag: null, resumable: true, written: false, stored: false };
  try {
    await resumeStored(state, { store, sha256, makeFile, signal, report });
    for (let attempt = 1; !state.written; attempt += 1) {
      try {
        await (isIndex(url) ? requestShards : request)({ url, store, state, signal, report, makeFile });
        break;
      } catch (error) {
        if (typeof codeOf(error) === 'string' || attempt === ATTEMPTS) throw error;
        await pause(500 * 2 ** (attempt - 1), signal);
      }
    }
    const { file } = state;
    if (!file) throw new Error('nothing arrived');
    verify(file, sha256);
    store?.close();
    return { ...state, file };
  } catch (error) {
    release(state.file);
    store?.close();
    if (codeOf(error) === 'checksum') await store?.dropPart().catch(() => {});
    if (typeof codeOf(error) === 'string') throw error;
    if (signal?.aborted) throw aborted(signal.reason);
    throw new UnetrError('network', `downloading ${url} failed: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Takes over what an earlier visit left behind; that may be all, which nobody had opened yet.
 * @template {Target} T
 * @param {Download<T>} state
 * @param {Reading<T> & { store: Store | null, sha256?: string }} options
 */
async function resumeStored(state, { store, sha256, makeFile, signal, report }) {
  const meta = await store?.part().catch(() => null);
  if (!store || !meta?.total) return;
  const part = await store.blob(meta).catch(() => null);
  const whole = part?.size === meta.total;
  if (!part?.size || part.size > meta.total || !(whole || meta.etag)) return;
  state.file = makeFile(meta.total);
  await stream(part.stream(), meta.total, state.file, signal, report);
  if (whole && sha256 && !matches(state.file, sha256)) {
    // Another file is wanted now.
    release(state.file);
    state.file = null;
    await store.dropPart();
    return;
  }
  state.total = meta.total;
  state.etag = meta.etag ?? null;
  state.written = state.stored = whole;
}

/**
 * @template {Target} T
 * @param {Reading<T> & { url: string, store: Store | null, state: Download<T> }} options
 */
async function request({ url, store, state, signal, report, makeFile }) {
  const from = state.resumable && state.etag && state.file ? state.file.length() : 0;
  /** @type {Record<string, string>} */
  const headers = from > 0 && state.etag ? { range: `bytes=${from}-`, 'if-range': state.etag } : {};
  const response = await fetch(url, { headers, signal, cache: 'no-store' });
  const goesOn = from > 0 && response.status === 206 && startsAt(response) === from;
  if (response.status === 416) state.resumable = false;
  checkAnswer(response, url);
  if (response.status === 206 && !goesOn) throw new Error(`${url} answers with another part than was asked for`);
  if (!response.body) throw new Error('the answer is empty');
  let file = goesOn ? state.file : null;
  if (!file) {
    release(state.file);
    state.file = null;
    const encoded = response.headers.has('content-encoding');
    state.total = encoded ? 0 : Number(response.headers.get('content-length') ?? 0);
    // A weak tag does not promise equal bytes.
    const etag = response.headers.get('etag');
    state.etag = encoded || etag?.startsWith('W/') ? null : etag;
    file = makeFile(state.total);
    state.file = file;
  }
  const writer = await begin(store, { ...state, file });
  await stream(response.body, state.total, file, signal, report, writer.write);
  if (state.total && file.length() !== state.total) {
    throw new Error(`${file.length()} of ${state.total} bytes arrived`);
  }
  state.written = writer.ok;
}

/**
 * The same of a package in shards: those that are not there yet, each checked before it counts.
 * @template {Target} T
 * @param {Reading<T> & { url: string, store: Store | null, state: Download<T> }} options
 */
async function requestShards({ url, store, state, signal, report, makeFile }) {
  const index = await readIndex(url, signal);
  let shards = state.etag === index.sha256 && state.file ? shardsFrom(index, state.file.length()) : null;
  let { file } = state;
  if (!file || !shards) {
    release(file);
    state.file = null;
    Object.assign(state, { total: index.bytes, etag: index.sha256 });
    file = makeFile(index.bytes);
    state.file = file;
    shards = index.shards;
  }
  const writer = await begin(store, { ...state, file });
  for (const shard of shards) {
    const bytes = await fetchShard(shard, url, signal);
    throwIfAborted(signal);
    file.push(bytes);
    writer.write(bytes);
    report(file.length(), index.bytes);
  }
  verify(file, index.sha256);
  state.written = writer.ok;
}

/**
 * Begins to write what arrives into the store.
 * @param {Store | null} store
 * @param {{ etag: string | null, total: number, file: Target }} state
 */
async function begin(store, { etag, total, file }) {
  const writer = {
    ok: store !== null,
    write: (/** @type {Uint8Array} */ chunk) => {
      if (!writer.ok) return;
      try {
        store?.write(chunk);
      } catch {
        // The quota is reached; what was written would only take room.
        store?.dropPart().catch(() => {});
        writer.ok = false;
      }
    },
  };
  // Another tab is writing the same model, or the quota is reached.
  await store?.begin({ etag, total }, file.length()).catch(() => { writer.ok = false; });
  return writer;
}

/** @param {Response} response */
function startsAt(response) {
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? NaN);
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(aborted(signal?.reason));
    if (signal?.aborted) return stop();
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      stop();
    }, { once: true });
  });
}
