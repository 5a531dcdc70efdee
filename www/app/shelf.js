// Scans of a list and their results, kept in this browser's database until they are deleted.

const NAME = 'unetr-scans';
const STORE = 'scans';

/**
 * @typedef {object} Kept
 * @property {number} id
 * @property {string} name
 * @property {File[]} files
 * @property {string | string[]} [series]
 * @property {'waiting' | 'done' | 'failed'} state
 * @property {string} [error]
 * @property {string} [model]
 * @property {string} [sha256] of the model
 * @property {import('unetr-wgpu').Label[]} [table]
 * @property {import('unetr-wgpu').LabelStatistics[]} [statistics]
 * @property {string} [csv]
 * @property {Uint8Array<ArrayBuffer>} [nifti]
 * @property {string[]} [warnings]
 */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error ?? new Error('the browser keeps nothing here')));
  });
}

/** @param {IDBTransactionMode} mode */
async function open(mode) {
  const request = indexedDB.open(NAME, 1);
  request.addEventListener('upgradeneeded', () => request.result.createObjectStore(STORE, { keyPath: 'id', autoIncrement: true }));
  const database = await settled(request);
  const transaction = database.transaction(STORE, mode);
  transaction.addEventListener('complete', () => database.close());
  return transaction.objectStore(STORE);
}

/** @returns {Promise<Kept[]>} */
export async function all() {
  return settled((await open('readonly')).getAll());
}

/** @param {Omit<Kept, 'id'>} kept @returns {Promise<Kept>} */
export async function add(kept) {
  const id = Number(await settled((await open('readwrite')).add(kept)));
  return { ...kept, id };
}

/** @param {Kept} kept */
export async function put(kept) {
  await settled((await open('readwrite')).put(kept));
}

/** @param {number} id */
export async function remove(id) {
  await settled((await open('readwrite')).delete(id));
}

/** Asks the browser not to throw it away when the disk fills up; it may say no. */
export async function persist() {
  return (await navigator.storage?.persisted?.()) || (await navigator.storage?.persist?.()) || false;
}
