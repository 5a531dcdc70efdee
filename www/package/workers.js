// How workers of this package are made.
import { UnetrError } from './errors.js';
import { here } from './place.js';

const OPTIONS = /** @type {const} */ ({ type: 'module', name: 'unetr' });

/**
 * A function that makes the worker, and a key that is equal for those that make the same.
 * @param {import('./types.js').AssetOptions & import('./types.js').DeviceOptions} assets
 * @returns {{ key: unknown, make: () => Worker }}
 */
export function workerFactory({ assetPath, worker, device }) {
  if (device) return { key: device, make: () => inPage(device, assetPath) };
  if (worker) return { key: worker, make: worker };
  if (assetPath === undefined) {
    // Written this way so that bundlers find the file.
    const make = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'unetr' });
    return { key: '', make: () => trusted(make) };
  }
  const folder = String(assetPath).replace(/\/?$/, '/');
  if (!URL.canParse(folder, here())) throw new UnetrError('bad-input', `options.assetPath is no URL: ${assetPath}`);
  const script = new URL('worker.js', new URL(folder, here()));
  if (script.origin === globalThis.origin) return { key: script.href, make: () => trusted(() => new Worker(script, OPTIONS)) };
  // A worker of another origin is refused, a module that imports one is not, if that origin allows it by CORS.
  const make = () => {
    const address = URL.createObjectURL(new Blob([`import ${JSON.stringify(script.href)};`], { type: 'text/javascript' }));
    const made = trusted(() => new Worker(address, OPTIONS));
    made.addEventListener('message', () => URL.revokeObjectURL(address), { once: true });
    return made;
  };
  return { key: script.href, make };
}

/**
 * Makes a worker also where the page's policy wants the address of every script vouched for (Trusted Types).
 * @param {() => Worker} make
 */
function trusted(make) {
  try {
    return make();
  } catch (error) {
    if (!('trustedTypes' in globalThis) || !(error instanceof TypeError)) throw error;
    const policy = vouching(error);
    const { Worker } = globalThis;
    // The call must stay as bundlers know it; only the class that it finds is another.
    globalThis.Worker = class extends Worker {
      /**
       * @param {string | URL} address
       * @param {WorkerOptions} [options]
       */
      constructor(address, options) {
        super(policy.createScriptURL(String(address)), options);
      }
    };
    try {
      return make();
    } finally {
      globalThis.Worker = Worker;
    }
  }
}

/** @type {any} */
let policy;

/** @param {unknown} cause */
function vouching(cause) {
  try {
    // One for the page: a policy may be made once under each name.
    policy ??= /** @type {any} */ (globalThis).trustedTypes.createPolicy('unetr-wgpu', { createScriptURL: (/** @type {string} */ address) => address });
    return policy;
  } catch {
    const remedy = "add 'unetr-wgpu' to the trusted-types of its content security policy, or make the worker yourself and give `worker`";
    throw new UnetrError('bad-input', `this page's Trusted Types refuse the worker: ${remedy}`, { cause });
  }
}

/**
 * What takes a worker's place where the page gives its own device, which no worker can have.
 * @param {GPUDevice} device
 * @param {string | URL} [assetPath]
 * @returns {Worker}
 */
function inPage(device, assetPath) {
  const { port1, port2 } = new MessageChannel();
  const events = new EventTarget();
  const load = () => (assetPath === undefined ? import('./service.js') : import(/* @vite-ignore */ /* webpackIgnore: true */ new URL('service.js', new URL(String(assetPath).replace(/\/?$/, '/'), here())).href));
  load().then(
    ({ serve }) => {
      serve(port2, device);
      port2.start();
    },
    (error) => { throw new UnetrError('internal', `the package could not be loaded (${error?.message ?? error}); is assetPath right?`, { cause: error }); },
  ).catch((error) => events.dispatchEvent(Object.assign(new Event('error'), { message: error.message, error })));
  port1.addEventListener('message', ({ data }) => events.dispatchEvent(new MessageEvent('message', { data })));
  port1.start();
  return /** @type {Worker} */ (/** @type {unknown} */ ({
    addEventListener: events.addEventListener.bind(events),
    postMessage: (/** @type {unknown} */ message, /** @type {Transferable[]} */ transfer = []) => port1.postMessage(message, transfer),
    terminate() {
      port1.postMessage({ type: 'end' });
      port1.close();
    },
  }));
}
