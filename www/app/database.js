// This browser's database: one store of numbered records in each.

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error ?? new Error('the browser keeps nothing here')));
  });
}

/** @template {{id: number}} T */
export class Records {
  #database;
  #store;

  /** @param {string} database @param {string} store */
  constructor(database, store) {
    this.#database = database;
    this.#store = store;
  }

  /** @param {IDBTransactionMode} mode */
  async #open(mode) {
    const request = indexedDB.open(this.#database, 1);
    request.addEventListener('upgradeneeded', () => request.result.createObjectStore(this.#store, { keyPath: 'id', autoIncrement: true }));
    const database = await settled(request);
    const transaction = database.transaction(this.#store, mode);
    transaction.addEventListener('complete', () => database.close());
    return transaction.objectStore(this.#store);
  }

  /** @returns {Promise<T[]>} */
  async all() {
    return settled((await this.#open('readonly')).getAll());
  }

  /** @param {Omit<T, 'id'>} record @returns {Promise<T>} */
  async add(record) {
    const id = Number(await settled((await this.#open('readwrite')).add(record)));
    return /** @type {T} */ ({ ...record, id });
  }

  /** @param {T} record */
  async put(record) {
    await settled((await this.#open('readwrite')).put(record));
  }

  /** @param {number} id */
  async remove(id) {
    await settled((await this.#open('readwrite')).delete(id));
  }
}

/** Asks the browser not to throw away what is kept when the disk fills up; it may say no. */
export async function persist() {
  return (await navigator.storage?.persisted?.()) || (await navigator.storage?.persist?.()) || false;
}
