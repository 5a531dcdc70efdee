// What a user has set and would set again: kept in this browser.

const KEY = 'unetr-view';
const KEPT = /** @type {const} */ (['radiological', 'crosshair', 'outline', 'scanOpacity', 'labelOpacity', 'solid', 'keys', 'large']);

/** @returns {Partial<import('./state.js').View>} */
export function loadSettings() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return Object.fromEntries(KEPT.filter((key) => key in kept).map((key) => [key, kept[key]]));
  } catch {
    return {};
  }
}

/** @param {import('./state.js').View} view */
export function saveSettings(view) {
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(KEPT.map((key) => [key, view[key]]))));
  } catch {
    // Private windows may keep nothing.
  }
}
