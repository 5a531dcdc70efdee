// Asks for what a checkpoint does not tell.
import { $, make } from './format.js';

/** `96, 96, 96` and `12`, a name, and JSON. @param {string} text */
function parse(text) {
  const numbers = text.split(/[\s,x×]+/).filter(Boolean).map(Number);
  if (numbers.length > 0 && numbers.every(Number.isFinite)) return numbers.length === 1 ? numbers[0] : numbers;
  if (/^[a-z][\w-]*$/i.test(text.trim())) return text.trim();
  return JSON.parse(text);
}

/** `given` with the value of each path put in. @param {Record<string, unknown> | undefined} given @param {Record<string, unknown>} values */
export function merge(given, values) {
  /** @type {Record<string, any>} */
  const all = structuredClone(given ?? {});
  for (const [path, value] of Object.entries(values)) {
    const keys = path.split('.');
    const last = /** @type {string} */ (keys.pop());
    let at = all;
    for (const key of keys) at = at[key] ??= {};
    at[last] = value;
  }
  return all;
}

/** @param {number} n */
const divisors = (n) => Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);

/**
 * What the hint leaves possible: sizes with so many patches of that size, numbers of heads that divide the hidden size.
 * @param {string} field
 * @param {string} hint
 * @returns {string[]}
 */
export function suggestions(field, hint) {
  const hidden = Number(/divisor of (\d+)/i.exec(hint)?.[1]);
  if (/num_heads$/.test(field) && hidden) {
    const all = divisors(hidden);
    const wide = all.filter((d) => hidden / d >= 4 && hidden / d <= 128);
    // Heads of 64 are usual.
    return (wide.length ? wide : all)
      .sort((a, b) => Math.abs(Math.log(hidden / a / 64)) - Math.abs(Math.log(hidden / b / 64))).map(String);
  }
  const patches = Number(/(\d+) patches/i.exec(hint)?.[1]);
  if (!/img_size$/.test(field) || !patches) return [];
  const side = Number(/multiples of (\d+)/i.exec(hint)?.[1] ?? 16);
  const fits = divisors(patches).flatMap((x) => divisors(patches / x).map((y) => [x, y, patches / x / y]));
  const skew = (/** @type {number[]} */ s) => Math.max(...s) / Math.min(...s);
  return fits.map((n) => n.map((v) => v * side)).sort((a, b) => skew(a) - skew(b)).slice(0, 8).map((s) => s.join(', '));
}

/**
 * Values by path with the text that was typed for them, or null if the user would rather not.
 * @param {{field: string, hint: string}[]} fields
 * @param {Record<string, string>} typed what was typed before
 * @param {string} fault what was wrong with it
 * @returns {Promise<{values: Record<string, unknown>, typed: Record<string, string>} | null>}
 */
export function askFields(fields, typed, fault) {
  const rows = fields.map(({ field, hint }) => {
    const list = make('datalist', { id: `list-${field}` }, ...suggestions(field, hint).map((value) => make('option', { value })));
    const input = make('input', { name: field, required: true, autocomplete: 'off', value: typed[field] ?? '' });
    input.setAttribute('list', list.id);
    input.setAttribute('aria-describedby', `hint-${field}`);
    const named = make('code', { textContent: field.split('.').at(-1) });
    return make('label', {}, named, input, list, make('span', { id: `hint-${field}`, className: 'facts', textContent: hint }));
  });
  $('import-fields').replaceChildren(...rows);
  $('import-fault').textContent = fault;
  $('import-fault').hidden = !fault;
  /** @type {HTMLDialogElement} */
  const dialog = $('import');
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    const form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
    const inputs = () => [...form.querySelectorAll('input')];
    /** @param {SubmitEvent} event */
    const check = (event) => {
      if (/** @type {HTMLButtonElement | null} */ (event.submitter)?.value !== 'ok') return;
      for (const input of inputs()) {
        try {
          parse(input.value);
          input.setCustomValidity('');
        } catch {
          event.preventDefault();
          input.setCustomValidity('numbers, as 96, 96, 96, or JSON');
          input.reportValidity();
          input.setCustomValidity('');
          return;
        }
      }
    };
    form.addEventListener('submit', check);
    dialog.addEventListener('close', () => {
      form.removeEventListener('submit', check);
      if (dialog.returnValue !== 'ok') {
        resolve(null);
        return;
      }
      resolve({
        values: Object.fromEntries(inputs().map((i) => [i.name, parse(i.value)])),
        typed: Object.fromEntries(inputs().map((i) => [i.name, i.value])),
      });
    }, { once: true });
  });
}
