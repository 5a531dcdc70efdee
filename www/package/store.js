// Where downloaded models are kept: the origin's private file system first, because a broken download can go on there
// after a reload; the Cache API second; the page's memory last.

/** Models whose download could be kept nowhere else, by URL: the page's, not the worker's. */
export const memory = new Map();

const FOLDER = 'unetr-wgpu';
const HASH = 'x-unetr-sha256';

async function keyOf(url) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
}

async function folder(create) {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create });
}

async function readJson(dir, name) {
  try {
    const handle = await dir.getFileHandle(name);
    return JSON.parse(await (await handle.getFile()).text());
  } catch {
    return null;
  }
}

/** A model in the origin's private file system. Writing needs a worker. */
class PrivateFile {
  kind = 'opfs';
  #dir;
  #key;
  #access = null;

  static async open(url) {
    if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) throw new Error('no writing here');
    const file = new PrivateFile();
    file.#dir = await folder(true);
    file.#key = await keyOf(url);
    file.url = url;
    return file;
  }

  /** What is known of the file: `{url, etag, total, sha256, complete}`, or null. */
  meta() {
    return readJson(this.#dir, `${this.#key}.json`);
  }

  async #writeMeta(meta) {
    const handle = await this.#dir.getFileHandle(`${this.#key}.json`, { create: true });
    const access = await handle.createSyncAccessHandle();
    try {
      const bytes = new TextEncoder().encode(JSON.stringify(meta));
      access.truncate(0);
      access.write(bytes, { at: 0 });
      access.flush();
    } finally {
      access.close();
    }
  }

  async blob() {
    const handle = await this.#dir.getFileHandle(`${this.#key}.bin`);
    return handle.getFile();
  }

  /** Begins to write at `offset`; what lies behind it is dropped. */
  async begin(meta, offset) {
    this.close();
    const handle = await this.#dir.getFileHandle(`${this.#key}.bin`, { create: true });
    this.#access = await handle.createSyncAccessHandle();
    this.at = offset;
    try {
      // A gap would be filled with zeros.
      if (this.#access.getSize() < offset) throw new Error('what came before is not there');
      this.#access.truncate(offset);
      await this.#writeMeta({ url: this.url, ...meta, sha256: null, complete: false });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  write(chunk) {
    const written = this.#access.write(chunk, { at: this.at });
    if (written !== chunk.byteLength) throw new Error('the disk is full');
    this.at += written;
  }

  async finish(meta) {
    this.#access.flush();
    this.close();
    await this.#writeMeta({ url: this.url, ...meta, complete: true });
  }

  close() {
    this.#access?.close();
    this.#access = null;
  }

  async remove() {
    this.close();
    await forget(this.#dir, this.#key);
  }
}

/** What cannot be written piece by piece is collected first. */
class Collected {
  #parts = [];

  /** Goes on at `offset`, behind what was collected so far. */
  async begin(_meta, offset) {
    const held = this.#parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (offset > held) throw new Error('what came before is not there');
    if (offset === 0) this.close();
  }

  write(chunk) {
    this.#parts.push(chunk.slice());
  }

  take() {
    const blob = new Blob(this.#parts);
    this.close();
    return blob;
  }

  close() {
    this.#parts = [];
  }
}

/** A model in the Cache API: whole or not at all. */
class CachedResponse extends Collected {
  kind = 'cache';
  #cache;

  static async open(url) {
    const file = new CachedResponse();
    file.#cache = await caches.open(FOLDER);
    file.url = url;
    return file;
  }

  async meta() {
    const found = await this.#cache.match(this.url);
    if (!found) return null;
    return { url: this.url, total: Number(found.headers.get('content-length')), sha256: found.headers.get(HASH), complete: true };
  }

  async blob() {
    return (await this.#cache.match(this.url)).blob();
  }

  async finish({ sha256 }) {
    const blob = this.take();
    const headers = { 'content-length': String(blob.size), [HASH]: sha256 };
    await this.#cache.put(this.url, new Response(blob, { headers }));
  }

  async remove() {
    await this.#cache.delete(this.url);
  }
}

/** A model in memory, handed to the page so that it outlives the worker. */
class MemoryFile extends Collected {
  kind = 'memory';
  result = null;

  async meta() {
    return null;
  }

  async finish() {
    this.result = this.take();
  }

  async remove() {
    this.close();
  }
}

const KINDS = { opfs: PrivateFile.open, cache: CachedResponse.open, memory: async () => new MemoryFile() };

/** The best place of those allowed: `'auto'`, one of `'opfs' | 'cache' | 'memory'`, or false for none. */
export async function openStore(url, choice = 'auto') {
  if (choice === false || choice === 'none') return null;
  const order = choice === 'auto' ? ['opfs', 'cache', 'memory'] : [choice];
  for (const kind of order) {
    try {
      return await KINDS[kind](url);
    } catch {
      // Private windows and old browsers lack one or the other.
    }
  }
  return null;
}

/** Every model kept by this origin. */
export async function listModels() {
  const models = [...memory].map(([url, blob]) => ({ url, bytes: blob.size, sha256: null, complete: true, kept: 'memory' }));
  try {
    const dir = await folder(false);
    for await (const [name, handle] of dir.entries()) {
      if (!name.endsWith('.bin')) continue;
      const meta = await readJson(dir, name.replace('.bin', '.json'));
      const { size } = await handle.getFile();
      models.push({ url: meta?.url ?? '', bytes: size, sha256: meta?.sha256 ?? null, complete: meta?.complete ?? false, kept: 'opfs' });
    }
  } catch {
    // Nothing was ever kept there.
  }
  if (globalThis.caches && (await caches.has(FOLDER).catch(() => false))) {
    const cache = await caches.open(FOLDER);
    for (const request of await cache.keys()) {
      const { headers } = await cache.match(request);
      models.push({ url: request.url, bytes: Number(headers.get('content-length')), sha256: headers.get(HASH), complete: true, kept: 'cache' });
    }
  }
  return models;
}

/** Deletes the model of one URL, or all. */
export async function clearModels(url) {
  if (url === undefined) {
    memory.clear();
    const root = await navigator.storage.getDirectory().catch(() => null);
    await root?.removeEntry(FOLDER, { recursive: true }).catch(() => {});
    await globalThis.caches?.delete(FOLDER).catch(() => {});
    return;
  }
  const { href } = new URL(url, globalThis.document?.baseURI ?? location.href);
  memory.delete(href);
  await forget(await folder(false).catch(() => null), await keyOf(href));
  const cache = await globalThis.caches?.open(FOLDER).catch(() => null);
  await cache?.delete(href);
}

/** Deletes one model's files; pages may, though they cannot write. */
async function forget(dir, key) {
  for (const ending of ['.json', '.bin']) {
    await dir?.removeEntry(key + ending).catch(() => {});
  }
}
