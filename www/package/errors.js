/** An error with a `code` to act on and a message to show. The codes are listed in `index.d.ts`. */
export class UnetrError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = code === 'aborted' ? 'AbortError' : 'UnetrError';
    this.code = code;
  }
}

const CODES = new Set([
  'no-webgpu', 'out-of-memory', 'device-lost', 'bad-input', 'bad-model', 'checksum', 'aborted', 'network', 'internal',
]);

/** Whatever was thrown, as a UnetrError. */
export function typed(error) {
  if (error instanceof UnetrError) return error;
  if (CODES.has(error?.code)) {
    const made = new UnetrError(error.code, error.message);
    if (error.fields) made.fields = error.fields;
    return made;
  }
  if (error?.name === 'AbortError') return aborted(error);
  return new UnetrError('internal', String(error?.message ?? error), { cause: error });
}

/** The same as a message can carry it. */
export function plain({ code, message, fields }) {
  return { code, message, fields };
}

export function aborted(cause) {
  return new UnetrError('aborted', 'stopped by the caller', { cause });
}

/** Frees an object of the module. After a trap that fails, and must not hide the trap. */
export function release(object) {
  try {
    object?.free();
  } catch {
    // The worker ends with its module.
  }
}

/** What `promise` gives, unless the signal comes first. */
export async function unlessAborted(signal, promise) {
  throwIfAborted(signal);
  const left = Promise.withResolvers();
  const leave = () => left.reject(aborted(signal.reason));
  signal?.addEventListener('abort', leave);
  try {
    return await Promise.race([promise, left.promise]);
  } finally {
    signal?.removeEventListener('abort', leave);
  }
}

export function throwIfAborted(signal) {
  if (signal?.aborted) throw aborted(signal.reason);
}
