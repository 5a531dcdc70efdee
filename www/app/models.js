import { $, duration, make, mib, words } from './format.js';

const pace = (sha256, adapter) => `window-ms ${sha256} ${adapter}`;

/** The pull-down of models: those of this site, and the user's own once they were opened. */
export class Models {
  #entries = [];
  #adapter;
  /** Whether the list shows a choice that is not confirmed yet. */
  #walked;

  /** `choose(entry)` opens a model and says whether it worked. */
  static async create(adapter, choose) {
    const models = new Models();
    models.#adapter = adapter;
    const response = await fetch('models/index.json');
    if (response.ok) for (const m of await response.json()) {
      // The file's own hash: another file at the same address must not be mistaken for the one that is kept.
      models.#entries.push({ ...m, fileSha256: m.sha256, model: new URL(`models/${m.file}`, location.href) });
    }
    models.#walked = whenChosen($('models'), async () => {
      const entry = models.#entries[Number($('models').value)];
      if (!entry || entry === models.current) return;
      if (!(await choose(entry))) models.show();
    });
    return models;
  }

  /** The entry at this address, made if this site does not list it; the first for none. */
  at(address) {
    if (!address) return this.#entries[0];
    return this.#entries.find((e) => String(e.model) === String(address)) ?? { model: address, name: address.pathname.split('/').pop() };
  }

  /** Shows the model that is open now. */
  opened(entry, { name, bytes, licence, sha256 }) {
    Object.assign(entry, { name: name || entry.name, bytes, licence, sha256 });
    if (!this.#entries.includes(entry)) this.#entries.push(entry);
    this.current = entry;
    this.show();
  }

  /** Remembers how long a window takes here, for the next time. */
  timed(windowMs) {
    try {
      localStorage.setItem(pace(this.current.sha256, this.#adapter), String(windowMs));
    } catch {
      // Private windows may keep nothing.
    }
    this.show();
  }

  #expected({ sha256 }) {
    try {
      return Number(localStorage.getItem(pace(sha256, this.#adapter)));
    } catch {
      return 0;
    }
  }

  /** Writes the list; a choice that is not confirmed yet stays. */
  show() {
    const before = this.#walked() ? $('models').value : null;
    const none = make('option', { value: '', textContent: 'Choose a model…', disabled: true, selected: true });
    const options = this.#entries.map((entry, i) => {
      const ms = this.#expected(entry);
      const facts = [entry.bytes && mib(entry.bytes), entry.licence, ms > 0 && `${duration(ms)} a window`].filter(Boolean);
      return make('option', { value: i, textContent: [words(entry.name), ...facts].join(' · '), selected: entry === this.current });
    });
    $('models').replaceChildren(...(this.current ? [] : [none]), ...options);
    if (before !== null) $('models').value = before;
  }
}

/** Arrow keys on a closed list change it step by step: what lies on the way is not meant, only what is left or
 * confirmed. Gives a function that tells whether that is still to come. */
function whenChosen(select, chosen) {
  let stepping = false;
  let walked = false;
  const arrive = () => {
    const here = walked;
    walked = false;
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
    walked = stepping;
    if (!walked) chosen();
  });
  select.addEventListener('blur', arrive);
  return () => walked;
}
