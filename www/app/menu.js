// A button with a menu: opened by click and keys, closed by a choice, Escape or a click elsewhere (the browser's popover).

/** @param {HTMLButtonElement} button @param {HTMLElement} menu */
export function attachMenu(button, menu) {
  menu.popover = 'auto';
  button.popoverTargetElement = menu;
  button.ariaHasPopup = menu.getAttribute('role') === 'menu' ? 'menu' : 'dialog';
  button.ariaExpanded = 'false';
  const items = () => /** @type {HTMLElement[]} */ ([...menu.querySelectorAll('[role=menuitem]')].filter((e) => !(/** @type {HTMLButtonElement} */ (e).disabled) && /** @type {HTMLElement} */ (e).checkVisibility()));
  menu.addEventListener('toggle', (event) => {
    const open = /** @type {ToggleEvent} */ (event).newState === 'open';
    button.ariaExpanded = String(open);
    if (!open) return;
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = menu;
    const below = bottom + 4 + height <= innerHeight;
    menu.style.setProperty('--top', `${below ? bottom + 4 : Math.max(4, top - 4 - height)}px`);
    menu.style.setProperty('--left', `${Math.max(4, Math.min(left + width <= innerWidth - 4 ? left : right - width, innerWidth - 4 - width))}px`);
    items()[0]?.focus();
  });
  menu.addEventListener('click', (event) => {
    if (/** @type {HTMLElement} */ (event.target).closest('[role=menuitem]')) menu.hidePopover();
  });
  menu.addEventListener('keydown', (event) => {
    const all = items();
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (at < 0) return;
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    all.at(next % all.length)?.focus();
  });
}
