import { UnetrError, aborted, release, throwIfAborted } from './errors.js';
import { openStore } from './store.js';

const ATTEMPTS = 5;

/**
 * Streams a model into `makeFile(total)`, an object with `push(chunk)`, `length()`, `copyTo(bytes)`, `sha256()` and `free()`.
 *
 * A broken connection goes on where it stopped, after a reload too if the store can. The hash is checked on every load:
 * against the one the caller gave, and against the one found when the file was stored. A page in place of a file is refused.
 *
 * Returns `{file, from, stored, keep, drop}`. Whoever opened the model calls `keep()`, which gives a blob only where the page
 * must hold the model in memory; whoever found that it is none calls `drop()`, and what was stored is gone. `stored`: it was
 * there before, so that asking for it again may give another.
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
  const store = await openStore(url, cache);
  const kept = await store?.kept().catch(() => null);
  // One that is not wanted now stays until the one that is was opened.
  if (kept && (!sha256 || kept.sha256 === sha256.toLowerCase())) {
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
    keep: () => (written ? store.keep(meta).catch(() => store.dropPart().catch(() => {})) : Promise.resolve(spare)),
    drop: async () => { if (written) await store.dropPart().catch(() => {}); },
  };
}

/** The whole file for the page's memory; nothing if that has no room either. */
function copy(file) {
  try {
    const bytes = new Uint8Array(file.length());
    file.copyTo(bytes);
    return new Blob([bytes]);
  } catch {
    return undefined;
  }
}

/** The stored file, or null if it is damaged. */
async function stored(store, meta, { signal, report, makeFile }) {
  let file;
  try {
    const blob = await store.blob(meta);
    file = makeFile(blob.size);
    await stream(blob.stream(), blob.size, file, signal, report);
    verify(file, meta.sha256);
    return file;
  } catch (error) {
    release(file);
    if (error.code === 'aborted' || error.code === 'out-of-memory') throw error;
    return null;
  }
}

function matches(file, sha256) {
  return file.sha256() === sha256.toLowerCase();
}

function verify(file, wanted) {
  if (!wanted) return;
  if (!matches(file, wanted)) {
    throw new UnetrError('checksum', `the model's SHA-256 is ${file.sha256()}, expected ${wanted.toLowerCase()}: the file is damaged or another one`);
  }
}

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

async function download({ url, store, signal, report, makeFile, sha256 }) {
  const state = { file: null, total: 0, etag: null, resumable: true, written: false, stored: false };
  try {
    await resumeStored(state, { store, sha256, makeFile, signal, report });
    for (let attempt = 1; !state.written; attempt += 1) {
      try {
        await request({ url, store, state, signal, report, makeFile });
        break;
      } catch (error) {
        if (typeof error.code === 'string' || attempt === ATTEMPTS) throw error;
        await pause(500 * 2 ** (attempt - 1), signal);
      }
    }
    verify(state.file, sha256);
    store?.close();
    return state;
  } catch (error) {
    release(state.file);
    store?.close();
    if (error.code === 'checksum') await store?.dropPart().catch(() => {});
    if (typeof error?.code === 'string') throw error;
    if (signal?.aborted) throw aborted(signal.reason);
    throw new UnetrError('network', `downloading ${url} failed: ${error.message}`, { cause: error });
  }
}

/** Takes over what an earlier visit left behind; that may be all, which nobody had opened yet. */
async function resumeStored(state, { store, sha256, makeFile, signal, report }) {
  const meta = await store?.part().catch(() => null);
  if (!meta?.total) return;
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
  state.etag = meta.etag;
  state.written = state.stored = whole;
}

async function request({ url, store, state, signal, report, makeFile }) {
  const from = state.resumable && state.etag && state.file ? state.file.length() : 0;
  const headers = from > 0 ? { range: `bytes=${from}-`, 'if-range': state.etag } : {};
  const response = await fetch(url, { headers, signal, cache: 'no-store' });
  const goesOn = from > 0 && response.status === 206 && startsAt(response) === from;
  if (!response.ok || (response.status === 206 && !goesOn)) {
    if (response.status === 416) state.resumable = false;
    const gone = response.status >= 400 && response.status < 500 && ![408, 416, 429].includes(response.status);
    const text = `downloading ${url} failed: HTTP ${response.status}`;
    throw gone ? new UnetrError('network', text) : new Error(text);
  }
  if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
    throw new UnetrError('network', `${url} answers with a web page instead of a model: is the address right, and does it need no login?`);
  }
  if (!goesOn) {
    release(state.file);
    state.file = null;
    const encoded = response.headers.has('content-encoding');
    state.total = encoded ? 0 : Number(response.headers.get('content-length') ?? 0);
    // A weak tag does not promise equal bytes.
    const etag = response.headers.get('etag');
    state.etag = encoded || etag?.startsWith('W/') ? null : etag;
    state.file = makeFile(state.total);
  }
  let writing = await begin(store, state);
  await stream(response.body, state.total, state.file, signal, report, (chunk) => {
    if (!writing) return;
    try {
      store.write(chunk);
    } catch {
      // The quota is reached; what was written would only take room.
      store.dropPart().catch(() => {});
      writing = false;
    }
  });
  if (state.total && state.file.length() !== state.total) {
    throw new Error(`${state.file.length()} of ${state.total} bytes arrived`);
  }
  state.written = writing;
}

async function begin(store, { etag, total, file }) {
  if (!store) return false;
  try {
    await store.begin({ etag, total }, file.length());
    return true;
  } catch {
    // Another tab is writing the same model, or the quota is reached.
    return false;
  }
}

function startsAt(response) {
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? NaN);
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(aborted(signal.reason));
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
