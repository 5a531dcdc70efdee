// Keys for the whole page. Single letters can be switched off: whoever dictates would press them by speaking.

/**
 * @param {Record<string, () => void>} letters
 * @param {() => void} escape
 * @param {() => boolean} wanted whether single letters are
 */
export function listenForKeys(letters, escape, wanted) {
  addEventListener('keydown', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.matches('select, textarea, input:not([type=range], [type=checkbox], [type=radio])') || document.querySelector('dialog[open]');
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (event.key === 'Escape') {
      // An open menu is closed first.
      if (!document.querySelector('[popover]:popover-open')) escape();
      return;
    }
    if (wanted()) letters[event.key.toLowerCase()]?.();
  });
}
