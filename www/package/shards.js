// Packages that were cut into files of a size that any server keeps: beside them lies an index with a hash for each.

import { UnetrError } from './errors.js';

/**
 * @typedef {{ file: string, bytes: number, sha256: string }} Shard
 * @typedef {{ bytes: number, sha256: string, shards: Shard[] }} ShardIndex
 */

const FORMAT = 'unetr-shards/1';

/** @param {string} url */
export function isIndex(url) {
  return new URL(url).pathname.endsWith('.index.json');
}

/**
 * An answer that is no file, as an error: one with a code will be the same the next time.
 * @param {Response} response
 * @param {string} url
 */
export function checkAnswer(response, url) {
  if (!response.ok) {
    const gone = response.status >= 400 && response.status < 500 && ![408, 416, 429].includes(response.status);
    const text = `downloading ${url} failed: HTTP ${response.status}`;
    throw gone ? new UnetrError('network', text) : new Error(text);
  }
  if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '')) {
    throw new UnetrError('network', `${url} answers with a web page instead of a model: is the address right, and does it need no login?`);
  }
}

/**
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<ShardIndex>}
 */
export async function readIndex(url, signal) {
  const response = await fetch(url, { signal, cache: 'no-store' });
  checkAnswer(response, url);
  const text = await response.text();
  /** @type {any} */
  let index = null;
  try {
    index = JSON.parse(text);
  } catch {
    // Told below, as any other text that is no index.
  }
  const named = (/** @type {any} */ shard) => typeof shard?.file === 'string' && !/[/\\:]|^\.|^$/.test(shard.file) && shard.bytes > 0;
  const whole = index?.format === FORMAT && Array.isArray(index.shards) && index.shards.every(named);
  if (!whole || sum(index.shards) !== index.bytes || typeof index.sha256 !== 'string') {
    throw new UnetrError('bad-model', `${url} is no index of shards (format "${FORMAT}"): make it with unetr export --shards`);
  }
  return index;
}

/** @param {Shard[]} shards */
function sum(shards) {
  return shards.reduce((bytes, shard) => bytes + shard.bytes, 0);
}

/**
 * Shards that begin at these bytes of the package; none where no shard does.
 * @param {ShardIndex} index
 * @param {number} from
 */
export function shardsFrom({ shards }, from) {
  const first = shards.findIndex((_, i) => sum(shards.slice(0, i)) === from);
  return first < 0 ? null : shards.slice(first);
}

/**
 * One shard, its hash checked.
 * @param {Shard} shard
 * @param {string} index The index's address.
 * @param {AbortSignal} [signal]
 */
export async function fetchShard(shard, index, signal) {
  const url = new URL(shard.file, index).href;
  const response = await fetch(url, { signal, cache: 'no-store' });
  checkAnswer(response, url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.length !== shard.bytes) throw new Error(`${bytes.length} of ${shard.bytes} bytes of ${url} arrived`);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (sha256 !== shard.sha256.toLowerCase()) {
    throw new UnetrError('checksum', `the SHA-256 of ${url} is ${sha256}, its index says ${shard.sha256}: the file is damaged or another one`);
  }
  return bytes;
}
