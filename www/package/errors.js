/**
 * - `no-webgpu`: no WebGPU, no adapter, or no device
 * - `out-of-memory`: the GPU or the tab has not the memory
 * - `device-lost`: the GPU was reset or dropped work; the next call starts anew
 * - `bad-input`: the scan or an option
 * - `bad-model`: the model package
 * - `checksum`: the model is not the file it should be
 * - `aborted`: stopped by a signal or by `dispose()`; the error's name is `AbortError`
 * - `network`: the download failed, or the address gives a web page
 * - `internal`: a fault of this package or of the driver; the next call starts anew
 * @typedef {'no-webgpu' | 'out-of-memory' | 'device-lost' | 'bad-input' | 'bad-model' | 'checksum' | 'aborted' | 'network' | 'internal'} ErrorCode
 */

/** An error with a `code` to act on and a message to show. */
export class UnetrError extends Error {
  /** @readonly @type {ErrorCode} */
  code;
  /**
   * For a checkpoint that does not tell all: what `package` must give.
   * @readonly @type {{ field: string, hint: string }[] | undefined}
   */
  fields;

  /**
   * @param {ErrorCode} code
   * @param {string} message
   * @param {ErrorOptions & { fields?: { field: string, hint: string }[] }} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    this.name = code === 'aborted' ? 'AbortError' : 'UnetrError';
    this.code = code;
    this.fields = options?.fields;
  }
}

const CODES = new Set([
  'no-webgpu', 'out-of-memory', 'device-lost', 'bad-input', 'bad-model', 'checksum', 'aborted', 'network', 'internal',
]);

/**
 * Whatever was thrown, as a UnetrError.
 * @param {any} error
 * @returns {UnetrError}
 */
export function typed(error) {
  if (error instanceof UnetrError) return error;
  if (CODES.has(error?.code)) return new UnetrError(error.code, error.message, error.fields && { fields: error.fields });
  if (error?.name === 'AbortError') return aborted(error);
  return new UnetrError('internal', String(error?.message ?? error), { cause: error });
}

/**
 * The same as a message can carry it.
 * @param {UnetrError} error
 */
export function plain({ code, message, fields }) {
  return { code, message, fields };
}

/**
 * What went wrong, in its own words.
 * @param {unknown} error
 */
export function reasonOf(error) {
  return String(/** @type {{ message?: unknown } | null | undefined} */ (error)?.message ?? error);
}

/** @param {unknown} [cause] */
export function aborted(cause) {
  return new UnetrError('aborted', 'stopped by the caller', { cause });
}

/**
 * Frees an object of the module. After a trap that fails, and must not hide the trap.
 * @param {{ free(): void } | null | undefined} object
 */
export function release(object) {
  try {
    object?.free();
  } catch {
    // The worker ends with its module.
  }
}

/**
 * What `promise` gives, unless the signal comes first.
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function unlessAborted(signal, promise) {
  throwIfAborted(signal);
  /** @type {PromiseWithResolvers<never>} */
  const left = Promise.withResolvers();
  const leave = () => left.reject(aborted(signal?.reason));
  signal?.addEventListener('abort', leave);
  try {
    return await Promise.race([promise, left.promise]);
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}

/** @param {AbortSignal} [signal] */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal.reason);
}
