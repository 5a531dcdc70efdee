// How long a window of a model takes on this machine, remembered from its runs: nothing is timed that nobody asked for.

/** @typedef {import('unetr-wgpu').Support | null} Support */

/** @param {string} sha256 @param {Support} support */
const key = (sha256, support) => `window-ms ${sha256} ${support?.adapter?.name ?? ''}`;

export class Paces {
  /** @param {string | undefined} sha256 @param {Support} support @returns {number | null} */
  of(sha256, support) {
    try {
      return Number(localStorage.getItem(key(sha256 ?? '', support))) || null;
    } catch {
      // Private windows may keep nothing.
      return null;
    }
  }

  /** @param {string} sha256 @param {Support} support @param {number} ms */
  set(sha256, support, ms) {
    try {
      localStorage.setItem(key(sha256, support), String(ms));
    } catch {
      // The next visit begins without.
    }
  }
}
