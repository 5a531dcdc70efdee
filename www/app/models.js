// The models of this site, and the pull-down that chooses among them.

/** @returns {Promise<import('./state.js').ModelEntry[]>} */
export async function siteModels() {
  const response = await fetch('models/index.json');
  if (!response.ok) return [];
  // The file's own hash: another file at the same address must not be mistaken for the one that is kept.
  return (await response.json()).map((/** @type {any} */ m) => ({ ...m, fileSha256: m.sha256, model: new URL(`models/${m.file}`, location.href) }));
}

/**
 * Arrow keys on a closed list change it step by step: what lies on the way is not meant, only what is left or confirmed.
 * @param {HTMLSelectElement} select
 * @param {() => void} chosen
 */
export function whenChosen(select, chosen) {
  let stepping = false;
  /** @param {boolean} on */
  const walk = (on) => {
    if (on) select.dataset.walking = 'yes';
    else delete select.dataset.walking;
  };
  const arrive = () => {
    const here = Boolean(select.dataset.walking);
    walk(false);
    if (here) chosen();
    return here;
  };
  select.addEventListener('keydown', (event) => {
    // The focus is elsewhere when the rest of this key's events come.
    if (event.key === 'Enter' && arrive()) event.preventDefault();
    // A step is made before this key's turn is over, a choice in an open list later.
    stepping = true;
    setTimeout(() => { stepping = false; });
  });
  select.addEventListener('change', () => {
    walk(stepping);
    if (!stepping) chosen();
  });
  select.addEventListener('blur', arrive);
}
