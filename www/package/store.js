// Where downloaded models are kept: the origin's private file system first, because a broken download can go on there
// after a reload; the Cache API second; the page's memory last. What is kept is a model that was opened: a download stays a
// part until then, beside the model that was kept before.

import { here } from './place.js';

/**
 * @typedef {object} KeptModel
 * @property {string} url
 * @property {number} bytes
 * @property {string | null} sha256
 * @property {boolean} complete False for a download that was broken off and will go on.
 * @property {'opfs' | 'cache' | 'memory'} kept `memory`: until this page is left.
 *
 * @typedef {object} Meta What is known of a file that is kept, or of a part of one.
 * @property {string} [file] Its name in the private file system.
 * @property {string | null} [etag]
 * @property {number} total
 * @property {string | null} [sha256]
 *
 * @typedef {{ url?: string, kept: Meta | null, part: Meta | null }} FileRecord
 *
 * @typedef {object} Access The part of `FileSystemSyncAccessHandle` that is used here.
 * @property {(size: number) => void} truncate
 * @property {(bytes: Uint8Array, options: { at: number }) => number} write
 * @property {() => number} getSize
 * @property {() => void} flush
 * @property {() => void} close
 *
 * @typedef {object} Store A place for the model of one URL.
 * @property {'opfs' | 'cache' | 'memory'} kind
 * @property {() => Promise<Meta | null>} kept The model that was kept.
 * @property {() => Promise<Meta | null>} part The download that was broken off or not opened.
 * @property {(meta: Meta) => Promise<Blob>} blob
 * @property {(meta: Meta, offset: number) => Promise<void>} begin Begins to write the part at `offset`; what lies behind it is dropped.
 * @property {(chunk: Uint8Array) => void} write
 * @property {(meta: Meta) => Promise<Blob | void>} keep The part becomes the model that is kept; gives the blob that the page must hold.
 * @property {() => void} close
 * @property {() => Promise<void>} dropPart
 * @property {() => Promise<void>} dropKept
 */

/**
 * Models that could be kept nowhere else, by URL: the page's, not the worker's.
 * @type {Map<string, Blob>}
 */
export const memory = new Map();

const FOLDER = 'unetr-wgpu';
const HASH = 'x-unetr-sha256';

/** @param {string} url */
async function keyOf(url) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
}

/** @param {boolean} create */
async function folder(create) {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create });
}

/**
 * What is known of a model's files.
 * @param {FileSystemDirectoryHandle} dir
 * @param {string} key
 * @returns {Promise<FileRecord>}
 */
async function readRecord(dir, key) {
  try {
    const handle = await dir.getFileHandle(`${key}.json`);
    const { url, kept = null, part = null } = JSON.parse(await (await handle.getFile()).text());
    return { url, kept, part };
  } catch {
    return { kept: null, part: null };
  }
}

/** @param {FileSystemFileHandle} handle */
function accessTo(handle) {
  // Workers have it, pages do not.
  return /** @type {{ createSyncAccessHandle(): Promise<Access> }} */ (/** @type {unknown} */ (handle)).createSyncAccessHandle();
}

/**
 * A model in the origin's private file system. Writing needs a worker.
 * @implements {Store}
 */
class PrivateFile {
  kind = /** @type {const} */ ('opfs');
  at = 0;
  #dir;
  #key;
  #url;
  #record;
  /** @type {Access | null} */
  #access = null;

  /**
   * @param {FileSystemDirectoryHandle} dir
   * @param {string} key
   * @param {string} url
   * @param {FileRecord} record
   */
  constructor(dir, key, url, record) {
    this.#dir = dir;
    this.#key = key;
    this.#url = url;
    this.#record = record;
  }

  /** @param {string} url */
  static async open(url) {
    if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) throw new Error('no writing here');
    const dir = await folder(true);
    const key = await keyOf(url);
    return new PrivateFile(dir, key, url, await readRecord(dir, key));
  }

  async kept() {
    return this.#record.kept;
  }

  async part() {
    return this.#record.part;
  }

  /** @param {Partial<FileRecord>} changes */
  async #write(changes) {
    this.#record = { url: this.#url, kept: this.#record.kept, part: this.#record.part, ...changes };
    const handle = await this.#dir.getFileHandle(`${this.#key}.json`, { create: true });
    const access = await accessTo(handle);
    try {
      access.truncate(0);
      access.write(new TextEncoder().encode(JSON.stringify(this.#record)), { at: 0 });
      access.flush();
    } finally {
      access.close();
    }
  }

  /** @param {Meta} meta */
  async blob({ file = '' }) {
    return (await this.#dir.getFileHandle(file)).getFile();
  }

  /**
   * @param {Meta} meta
   * @param {number} offset
   */
  async begin({ etag, total }, offset) {
    this.close();
    // Two names take turns: a model that is kept is not touched before the next one was opened.
    const names = ['a', 'b'].map((turn) => `${this.#key}-${turn}.bin`);
    const [free] = names.filter((name) => name !== this.#record.kept?.file);
    const file = this.#record.part?.file ?? free;
    const handle = await this.#dir.getFileHandle(file, { create: true });
    this.#access = await accessTo(handle);
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

  /** @param {Uint8Array} chunk */
  write(chunk) {
    const written = this.#access?.write(chunk, { at: this.at });
    if (written !== chunk.byteLength) throw new Error('the disk is full');
    this.at += written;
  }

  /** @param {Meta} meta */
  async keep({ etag, total, sha256 }) {
    this.close();
    const { kept, part } = this.#record;
    await this.#write({ kept: { file: part?.file, etag, total, sha256 }, part: null });
    if (kept?.file) await this.#dir.removeEntry(kept.file).catch(() => {});
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

  /** @param {'kept' | 'part'} which */
  async #drop(which) {
    this.close();
    const gone = this.#record[which];
    if (gone?.file) await this.#dir.removeEntry(gone.file).catch(() => {});
    this.#record[which] = null;
    if (this.#record.kept || this.#record.part) await this.#write({});
    else await forget(this.#dir, this.#key);
  }
}

/** What cannot be written piece by piece is collected first. */
class Collected {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #parts = [];

  /** @returns {Promise<Meta | null>} */
  async part() {
    return null;
  }

  /**
   * Goes on at `offset`, behind what was collected so far.
   * @param {Meta} _meta
   * @param {number} offset
   */
  async begin(_meta, offset) {
    const held = this.#parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (offset > held) throw new Error('what came before is not there');
    if (offset === 0) await this.dropPart();
  }

  /** @param {Uint8Array} chunk */
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

/**
 * A model in the Cache API: whole or not at all.
 * @implements {Store}
 */
class CachedResponse extends Collected {
  kind = /** @type {const} */ ('cache');
  #cache;
  #url;

  /**
   * @param {Cache} cache
   * @param {string} url
   */
  constructor(cache, url) {
    super();
    this.#cache = cache;
    this.#url = url;
  }

  /** @param {string} url */
  static async open(url) {
    return new CachedResponse(await caches.open(FOLDER), url);
  }

  async kept() {
    const found = await this.#cache.match(this.#url);
    if (!found) return null;
    return { total: Number(found.headers.get('content-length')), sha256: found.headers.get(HASH) };
  }

  async blob() {
    const found = await this.#cache.match(this.#url);
    if (!found) throw new Error('it is gone');
    return found.blob();
  }

  /** @param {Meta} meta */
  async keep({ sha256 }) {
    const blob = this.take();
    const headers = { 'content-length': String(blob.size), [HASH]: sha256 ?? '' };
    await this.#cache.put(this.#url, new Response(blob, { headers }));
  }

  async dropKept() {
    await this.#cache.delete(this.#url);
  }
}

/**
 * A model in memory, handed to the page so that it outlives the worker.
 * @implements {Store}
 */
class MemoryFile extends Collected {
  kind = /** @type {const} */ ('memory');

  async kept() {
    return null;
  }

  async keep() {
    return this.take();
  }

  /** @returns {Promise<Blob>} */
  async blob() {
    throw new Error('nothing is kept here');
  }

  async dropKept() {}
}

/** @type {Record<string, (url: string) => Promise<Store>>} */
const KINDS = { opfs: PrivateFile.open, cache: CachedResponse.open, memory: async () => new MemoryFile() };

/**
 * The best place of those allowed.
 * @param {string} url
 * @param {'auto' | 'opfs' | 'cache' | 'memory' | 'none' | false} [choice]
 * @returns {Promise<Store | null>}
 */
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

/**
 * Every model kept by this origin.
 * @returns {Promise<KeptModel[]>}
 */
export async function listModels() {
  /** @type {KeptModel[]} */
  const models = [...memory].map(([url, blob]) => ({ url, bytes: blob.size, sha256: null, complete: true, kept: 'memory' }));
  try {
    const dir = await folder(false);
    for await (const name of dir.keys()) {
      if (!name.endsWith('.json')) continue;
      const { url, kept, part } = await readRecord(dir, name.replace('.json', ''));
      for (const meta of [kept, part]) {
        const file = meta?.file && (await (await dir.getFileHandle(meta.file).catch(() => null))?.getFile());
        if (url && file) models.push({ url, bytes: file.size, sha256: meta.sha256 ?? null, complete: meta === kept, kept: 'opfs' });
      }
    }
  } catch {
    // Nothing was ever kept there.
  }
  if (globalThis.caches && (await caches.has(FOLDER).catch(() => false))) {
    const cache = await caches.open(FOLDER);
    for (const request of await cache.keys()) {
      const headers = (await cache.match(request))?.headers;
      if (!headers) continue;
      models.push({ url: request.url, bytes: Number(headers.get('content-length')), sha256: headers.get(HASH), complete: true, kept: 'cache' });
    }
  }
  return models;
}

/**
 * Deletes the model of one URL, or all.
 * @param {string | URL} [url]
 * @returns {Promise<void>}
 */
export async function clearModels(url) {
  if (url === undefined) {
    memory.clear();
    const root = await globalThis.navigator?.storage?.getDirectory().catch(() => null);
    await root?.removeEntry(FOLDER, { recursive: true }).catch(() => {});
    await globalThis.caches?.delete(FOLDER).catch(() => {});
    return;
  }
  const { href } = new URL(url, here());
  memory.delete(href);
  await forget(await folder(false).catch(() => null), await keyOf(href));
  const cache = await globalThis.caches?.open(FOLDER).catch(() => null);
  await cache?.delete(href);
}

/**
 * Deletes all files of one model; pages may, though they cannot write.
 * @param {FileSystemDirectoryHandle | null} dir
 * @param {string} key
 */
async function forget(dir, key) {
  if (!dir) return;
  const names = [];
  for await (const name of dir.keys()) if (name.startsWith(key)) names.push(name);
  for (const name of names) await dir.removeEntry(name).catch(() => {});
}
