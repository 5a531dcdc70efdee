/** What relative URLs are relative to; workers have no document, and other programs neither. */
export function here() {
  return globalThis.document?.baseURI ?? globalThis.location?.href;
}
