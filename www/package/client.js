import { UnetrError, aborted, typed } from './errors.js';

const FATAL = new Set(['device-lost', 'internal', 'no-webgpu', 'out-of-memory']);

/** One worker and the requests that wait for it. A worker that failed is replaced at the next request. */
export class Client {
  #make;
  #worker = null;
  #waiting = new Map();
  #next = 1;

  constructor(make) {
    this.#make = make;
  }

  get alive() {
    return this.#worker !== null;
  }

  start() {
    let worker;
    try {
      worker = this.#make();
    } catch (error) {
      throw new UnetrError('internal', `the worker could not be started: ${error.message}`, { cause: error });
    }
    // What a worker that was replaced still says is nobody's business.
    const current = () => this.#worker === worker;
    worker.addEventListener('message', ({ data }) => { if (current()) this.#hear(data); });
    worker.addEventListener('error', (event) => {
      event.preventDefault?.();
      if (!current()) return;
      this.#fail(new UnetrError('internal', event.message || 'the worker could not be loaded; is assetPath right?'));
    });
    this.#worker = worker;
  }

  /** Sends a request; `signal` stops it, `onProgress` and `onPart` hear of it. */
  ask(request, { signal, onProgress, onPart, transfer = [] } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(aborted(signal.reason));
        return;
      }
      const id = this.#next++;
      const stop = () => {
        this.#worker?.postMessage({ type: 'cancel', id });
        settle(reject, aborted(signal.reason));
      };
      const settle = (end, value) => {
        signal?.removeEventListener('abort', stop);
        this.#waiting.delete(id);
        end(value);
      };
      this.#waiting.set(id, {
        progress: onProgress,
        part: onPart,
        resolve: (value) => settle(resolve, value),
        reject: (error) => settle(reject, error),
      });
      signal?.addEventListener('abort', stop);
      try {
        this.#worker.postMessage({ id, ...request }, transfer);
      } catch (error) {
        settle(reject, new UnetrError('bad-input', `this cannot be sent to the worker: ${error.message}`, { cause: error }));
      }
    });
  }

  #hear({ id, progress, part, value, error, fault }) {
    if (fault) {
      this.#fail(typed(fault));
      return;
    }
    const request = this.#waiting.get(id);
    if (progress) request?.progress?.(progress);
    else if (part) request?.part?.(part);
    else if (error) {
      request?.reject(typed(error));
      // After these the device or the module is not to be trusted: the next request gets a new worker.
      if (FATAL.has(error.code)) this.#fail(typed(error));
    } else request?.resolve(value);
  }

  #fail(error) {
    this.#worker?.terminate();
    this.#worker = null;
    for (const request of [...this.#waiting.values()]) request.reject(error);
  }

  close(error) {
    this.#fail(error);
  }
}
