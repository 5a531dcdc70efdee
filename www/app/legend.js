import { $, make, words } from './format.js';

function swatch(color) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'swatch');
  const square = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [key, v] of Object.entries({ width: 14, height: 14, fill: color })) square.setAttribute(key, v);
  svg.append(square);
  return svg;
}

/** The table of labels with their volumes; `isolate(value or null)` is called when one is to be shown alone. */
export class Legend {
  #alone = null;
  #isolate;

  constructor(isolate) {
    this.#isolate = isolate;
  }

  show({ labelTable, statistics }) {
    this.#alone = null;
    $('legend').replaceChildren(...labelTable.map((label) => this.#row(label, statistics.find((s) => s.value === label.value))));
  }

  #row({ value, name, color }, numbers) {
    const row = make('tr');
    row.dataset.value = value;
    const label = row.insertCell();
    label.append(swatch(color), words(name));
    if (numbers?.touches_border) {
      label.append(make('span', { className: 'facts', textContent: ' at the edge', title: 'Touches the border of the scan: it may go on outside.' }));
    }
    const volume = row.insertCell();
    volume.className = 'number';
    volume.textContent = (numbers?.volume_ml ?? 0).toFixed(2);
    const only = make('button', { type: 'button', textContent: 'only', ariaPressed: 'false', ariaLabel: `Show only ${words(name)}` });
    only.disabled = !numbers?.voxels;
    only.addEventListener('click', () => this.#toggle(value));
    row.insertCell().append(only);
    return row;
  }

  #toggle(value) {
    this.#alone = this.#alone === value ? null : value;
    for (const row of $('legend').rows) {
      const own = Number(row.dataset.value) === this.#alone;
      row.classList.toggle('dimmed', this.#alone !== null && !own);
      row.querySelector('button').ariaPressed = String(own);
    }
    this.#isolate(this.#alone);
  }
}

const digits = (value, n) => (value === null ? '–' : value.toFixed(n));

/** The table of a comparison with a reference. */
export function showComparison({ labels, warnings }, name) {
  $('comparison-of').textContent = `Against ${name}`;
  $('comparison-rows').replaceChildren(...labels.map((l) => make('tr', { title: l.presence === 'both' ? '' : l.presence },
    make('td', { textContent: words(l.name) }),
    make('td', { className: 'number', textContent: digits(l.dice, 3) }),
    make('td', { className: 'number', textContent: digits(l.hd95_mm, 2) }),
    make('td', { className: 'number', textContent: l.truth_ml.toFixed(2) }))));
  $('comparison-warnings').textContent = warnings.join(' ');
  $('comparison').hidden = false;
}
