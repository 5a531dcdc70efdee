import { UnetrError, aborted, reasonOf, typed } from './errors.js';

/** @import { LabelBox, RunOptions } from './types.js' */

/**
 * @typedef {object} Waiting A request that is not answered yet.
 * @property {unknown} model
 * @property {((progress: any) => void) | undefined} progress
 * @property {((part: LabelBox) => void) | undefined} part
 * @property {(value: unknown) => void} resolve
 * @property {(error: Error) => void} reject
 */

/** @type {Set<unknown>} */
const FATAL = new Set(['device-lost', 'internal', 'no-webgpu', 'out-of-memory']);

/** How long a worker without a model waits for the next one, which finds its kernels compiled. */
const LINGER_MS = 60_000;

/**
 * The workers of this page that hold models, by what makes them.
 * @type {Map<unknown, Client>}
 */
const shared = new Map();

/** One worker and the requests that wait for it. A worker that failed is replaced at the next request. */
export class Client {
  /** Counts the workers: what a model was given to an earlier one is gone. */
  generation = 0;
  #make;
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #next = 1;
  #users = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #linger;
  /** @type {unknown} */
  #key;

  /** @param {() => Worker} make */
  constructor(make) {
    this.#make = make;
  }

  /**
   * The client of all models of this page whose workers are made alike.
   * @param {unknown} key
   * @param {() => Worker} make
   */
  static share(key, make) {
    const client = shared.get(key) ?? new Client(make);
    shared.set(key, client);
    client.#key = key;
    client.#users += 1;
    clearTimeout(client.#linger);
    return client;
  }

  /** The counterpart of `share`. */
  leave() {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#linger = setTimeout(() => {
      shared.delete(this.#key);
      this.close(aborted());
    }, LINGER_MS);
  }

  get alive() {
    return this.#worker !== null;
  }

  /** A number for a model on this worker. */
  number() {
    return this.#next++;
  }

  start() {
    if (this.alive) return;
    /** @type {Worker} */
    let worker;
    try {
      worker = this.#make();
    } catch (error) {
      if (error instanceof UnetrError) throw error;
      throw new UnetrError('internal', `the worker could not be started: ${reasonOf(error)}`, { cause: error });
    }
    // What a worker that was replaced still says is nobody's business.
    const current = () => this.#worker === worker;
    worker.addEventListener('message', ({ data }) => { if (current()) this.#hear(data); });
    worker.addEventListener('error', (event) => {
      event.preventDefault?.();
      if (!current()) return;
      this.#fail(event.error instanceof UnetrError ? event.error : new UnetrError('internal', event.message || 'the worker could not be loaded; is assetPath right?'));
    });
    this.#worker = worker;
    this.generation += 1;
  }

  /**
   * Sends a request; `signal` stops it, `onProgress` and `onPart` hear of it.
   * @param {{ type: string, model?: number, [field: string]: unknown }} request
   * @param {RunOptions & { onPart?: (part: LabelBox) => void }} [options]
   * @returns {Promise<any>}
   */
  ask(request, { signal, onProgress, onPart } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted(signal.reason));
        return;
      }
      const id = this.number();
      const stop = () => {
        this.#worker?.postMessage({ type: 'cancel', id });
        settle(reject, aborted(signal?.reason));
      };
      const settle = (/** @type {(value: any) => void} */ end, /** @type {unknown} */ value) => {
        signal?.removeEventListener('abort', stop);
        this.#waiting.delete(id);
        end(value);
      };
      this.#waiting.set(id, {
        model: request.model,
        progress: onProgress,
        part: onPart,
        resolve: (value) => settle(resolve, value),
        reject: (error) => settle(reject, error),
      });
      signal?.addEventListener('abort', stop);
      try {
        this.#worker?.postMessage({ id, ...request });
      } catch (error) {
        settle(reject, new UnetrError('bad-input', `this cannot be sent to the worker: ${reasonOf(error)}`, { cause: error }));
      }
    });
  }

  /**
   * Stops everything that is asked of a model, and takes it off the worker.
   * @param {number} model
   * @param {Error} error
   */
  unload(model, error) {
    for (const [id, request] of [...this.#waiting]) {
      if (request.model !== model) continue;
      this.#worker?.postMessage({ type: 'cancel', id });
      request.reject(error);
    }
    if (this.alive) this.ask({ type: 'unload', model }).catch(() => {});
  }

  /** @param {any} message */
  #hear({ id, progress, part, value, error, fault }) {
    if (fault) {
      this.#fail(typed(fault));
      return;
    }
    const request = this.#waiting.get(id);
    if (progress) tell(request, 'progress', progress);
    else if (part) tell(request, 'part', part);
    else if (error) {
      request?.reject(typed(error));
      // After these the device or the module is not to be trusted: the next request gets a new worker.
      if (FATAL.has(error.code)) this.#fail(typed(error));
    } else request?.resolve(value);
  }

  /** @param {Error} error */
  #fail(error) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const request of [...this.#waiting.values()]) request.reject(error);
  }

  /** @param {Error} error */
  close(error) {
    this.#fail(error);
  }
}

/**
 * Calls what the page gave. One that throws is called no more, and the run goes on.
 * @param {Waiting | undefined} request
 * @param {'progress' | 'part'} what
 * @param {any} value
 */
function tell(request, what, value) {
  try {
    request?.[what]?.(value);
  } catch (error) {
    if (request) request[what] = undefined;
    console.error(`unetr-wgpu: ${what === 'part' ? 'onLabels' : 'onProgress'} threw and is not called again in this request:`, error);
  }
}
