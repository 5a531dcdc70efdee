// Where downloaded models are kept: the origin's private file system first, because a broken download can go on there
// after a reload; the Cache API second; the page's memory last. What is kept is a model that was opened: a download stays a
// part until then, beside the model that was kept before.

/** Models that could be kept nowhere else, by URL: the page's, not the worker's. */
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

/** What is known of a model's files: `{url, kept, part}`, the latter two null or `{file, etag, total, sha256}`. */
async function readRecord(dir, key) {
  try {
    const handle = await dir.getFileHandle(`${key}.json`);
    const { url, kept = null, part = null } = JSON.parse(await (await handle.getFile()).text());
    return { url, kept, part };
  } catch {
    return { kept: null, part: null };
  }
}

/** A model in the origin's private file system. Writing needs a worker. */
class PrivateFile {
  kind = 'opfs';
  #dir;
  #key;
  #url;
  #record;
  #access = null;

  static async open(url) {
    if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) throw new Error('no writing here');
    const file = new PrivateFile();
    file.#dir = await folder(true);
    file.#key = await keyOf(url);
    file.#url = url;
    file.#record = await readRecord(file.#dir, file.#key);
    return file;
  }

  /** The model that was kept, `{file, etag, total, sha256}`, or null. */
  async kept() {
    return this.#record.kept;
  }

  /** The download that was broken off or not opened, `{file, etag, total}`, or null. */
  async part() {
    return this.#record.part;
  }

  async #write(changes) {
    this.#record = { url: this.#url, kept: this.#record.kept, part: this.#record.part, ...changes };
    const handle = await this.#dir.getFileHandle(`${this.#key}.json`, { create: true });
    const access = await handle.createSyncAccessHandle();
    try {
      access.truncate(0);
      access.write(new TextEncoder().encode(JSON.stringify(this.#record)), { at: 0 });
      access.flush();
    } finally {
      access.close();
    }
  }

  async blob({ file }) {
    return (await this.#dir.getFileHandle(file)).getFile();
  }

  /** Begins to write the part at `offset`; what lies behind it is dropped. */
  async begin({ etag, total }, offset) {
    this.close();
    // Two names take turns: a model that is kept is not touched before the next one was opened.
    const names = ['a', 'b'].map((turn) => `${this.#key}-${turn}.bin`);
    const file = this.#record.part?.file ?? names.find((name) => name !== this.#record.kept?.file);
    const handle = await this.#dir.getFileHandle(file, { create: true });
    this.#access = await handle.createSyncAccessHandle();
    this.at = offset;
    try {
      // A gap would be filled with zeros.
      if (this.#access.getSize() < offset) throw new Error('what came before is not there');
      this.#access.truncate(offset);
      await this.#write({ part: { file, etag, total } });
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

  /** The part becomes the model that is kept. */
  async keep({ etag, total, sha256 }) {
    this.close();
    const { kept, part } = this.#record;
    await this.#write({ kept: { file: part.file, etag, total, sha256 }, part: null });
    if (kept) await this.#dir.removeEntry(kept.file).catch(() => {});
  }

  close() {
    this.#access?.flush();
    this.#access?.close();
    this.#access = null;
  }

  async dropPart() {
    await this.#drop('part');
  }

  async dropKept() {
    await this.#drop('kept');
  }

  async #drop(which) {
    this.close();
    const gone = this.#record[which];
    if (gone) await this.#dir.removeEntry(gone.file).catch(() => {});
    this.#record[which] = null;
    if (this.#record.kept || this.#record.part) await this.#write({});
    else await forget(this.#dir, this.#key);
  }
}

/** What cannot be written piece by piece is collected first. */
class Collected {
  #parts = [];

  async part() {
    return null;
  }

  /** Goes on at `offset`, behind what was collected so far. */
  async begin(_meta, offset) {
    const held = this.#parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (offset > held) throw new Error('what came before is not there');
    if (offset === 0) await this.dropPart();
  }

  write(chunk) {
    this.#parts.push(chunk.slice());
  }

  take() {
    const blob = new Blob(this.#parts);
    this.#parts = [];
    return blob;
  }

  close() {}

  async dropPart() {
    this.#parts = [];
  }
}

/** A model in the Cache API: whole or not at all. */
class CachedResponse extends Collected {
  kind = 'cache';
  #cache;
  #url;

  static async open(url) {
    const file = new CachedResponse();
    file.#cache = await caches.open(FOLDER);
    file.#url = url;
    return file;
  }

  async kept() {
    const found = await this.#cache.match(this.#url);
    if (!found) return null;
    return { total: Number(found.headers.get('content-length')), sha256: found.headers.get(HASH) };
  }

  async blob() {
    return (await this.#cache.match(this.#url)).blob();
  }

  async keep({ sha256 }) {
    const blob = this.take();
    const headers = { 'content-length': String(blob.size), [HASH]: sha256 };
    await this.#cache.put(this.#url, new Response(blob, { headers }));
  }

  async dropKept() {
    await this.#cache.delete(this.#url);
  }
}

/** A model in memory, handed to the page so that it outlives the worker. */
class MemoryFile extends Collected {
  kind = 'memory';

  async kept() {
    return null;
  }

  /** Gives the blob that the page must hold. */
  async keep() {
    return this.take();
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
    for await (const name of dir.keys()) {
      if (!name.endsWith('.json')) continue;
      const { url, kept, part } = await readRecord(dir, name.replace('.json', ''));
      for (const [meta, complete] of [[kept, true], [part, false]]) {
        const file = meta && (await (await dir.getFileHandle(meta.file).catch(() => null))?.getFile());
        if (file) models.push({ url, bytes: file.size, sha256: meta.sha256 ?? null, complete, kept: 'opfs' });
      }
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

/** Deletes all files of one model; pages may, though they cannot write. */
async function forget(dir, key) {
  if (!dir) return;
  const names = [];
  for await (const name of dir.keys()) if (name.startsWith(key)) names.push(name);
  for (const name of names) await dir.removeEntry(name).catch(() => {});
}
