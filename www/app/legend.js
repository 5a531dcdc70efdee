// The table of labels: volumes, what is shown, and the scores of a comparison in the same rows.
import { $, make, swatch, words } from './format.js';

/** @param {number | null | undefined} value @param {number} n */
const digits = (value, n) => (value === null || value === undefined ? '–' : value.toFixed(n));

/**
 * @param {import('./state.js').State} state
 * @param {{isolate: (value: number) => void, opacity: (value: number, opacity: number) => void}} actions
 */
export function renderLegend({ result, comparison, alone, opacities, view }, { isolate, opacity }) {
  if (!result) return;
  const table = $('legend-table');
  const uncertain = comparison === null && result.statistics.some((s) => s.uncertainty !== undefined);
  for (const [name, on] of /** @type {[string, boolean][]} */ ([['compared', comparison !== null], ['uncertain', uncertain], ['narrow', comparison !== null || uncertain]])) table.classList.toggle(name, on);
  const total = result.statistics.reduce((sum, s) => sum + s.volume_ml, 0);
  $('legend').replaceChildren(...result.table.map(({ value, name, color }) => {
    const numbers = result.statistics.find((s) => s.value === value);
    const scores = comparison?.labels.find((l) => l.value === value);
    const row = make('tr');
    row.dataset.value = value;
    row.classList.toggle('dimmed', alone !== null && alone !== value);
    const label = make('span', { className: 'legend-name' }, swatch(color), make('span', { className: 'label', textContent: words(name) }));
    if (numbers?.touches_border) {
      label.lastChild.append(make('span', { className: 'facts', textContent: ' at the edge', title: 'Touches the border of the scan: it may go on outside.' }));
    }
    row.append(make('th', { scope: 'row' }, label), make('td', { className: 'number ml', textContent: digits(numbers?.volume_ml ?? 0, 2) }));
    if (comparison) {
      row.append(
        make('td', { className: 'number', textContent: digits(scores?.truth_ml, 2) }),
        make('td', { className: 'number dice', textContent: digits(scores?.dice, 3), title: scores && scores.presence !== 'both' ? scores.presence : '' }),
        make('td', { className: 'number', textContent: digits(scores?.hd95_mm, 1) }),
      );
    }
    if (uncertain) row.append(make('td', { className: 'number uncertainty', textContent: digits(numbers?.uncertainty, 2) }));
    const only = make('button', {
      type: 'button', className: 'only', textContent: 'Isolate', ariaPressed: String(alone === value), ariaLabel: `Isolate ${words(name)}`, disabled: !numbers?.voxels,
    });
    only.addEventListener('click', () => isolate(value));
    const slider = make('input', { type: 'range', min: '0', max: '1', step: '0.05', value: String(opacities[value] ?? 1), ariaLabel: `Opacity of ${words(name)}`, className: 'opacity' });
    slider.addEventListener('input', () => opacity(value, Number(slider.value)));
    row.append(make('td', { className: 'actions' }, slider, only));
    return row;
  }));
  $('legend-total').textContent = result.table.length > 1 ? `All labels ${total.toFixed(2)} ml` : '';
  $('comparison').hidden = comparison === null;
  if (comparison) {
    $('comparison-of').textContent = `Compared with ${comparison.name}, drawn as a dashed line.`;
    $('comparison-warnings').textContent = comparison.warnings.join(' ');
  }
  $('pen').replaceChildren(...result.table.map(({ value, name }) => make('option', { value: String(value), textContent: words(name), selected: value === view.pen })));
}

/** The opacities alone, so that a slider that is being drawn is not replaced. @param {import('./state.js').State} state */
export function renderOpacities({ opacities }) {
  for (const row of $('legend').rows) {
    const slider = row.querySelector('.opacity');
    const value = String(opacities[Number(row.dataset.value)] ?? 1);
    if (slider.value !== value) slider.value = value;
  }
}
