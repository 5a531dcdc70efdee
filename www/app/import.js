import { $, make } from './format.js';

/** `96, 96, 96` and `12` and JSON. */
function parse(text) {
  const numbers = text.split(/[\s,x×]+/).filter(Boolean).map(Number);
  if (numbers.length > 0 && numbers.every(Number.isFinite)) return numbers.length === 1 ? numbers[0] : numbers;
  return JSON.parse(text);
}

/** `given` with the value of each path put in. */
export function merge(given, values) {
  const all = structuredClone(given ?? {});
  for (const [path, value] of Object.entries(values)) {
    const keys = path.split('.');
    const last = keys.pop();
    let at = all;
    for (const key of keys) at = at[key] ??= {};
    at[last] = value;
  }
  return all;
}

/** Asks for what a checkpoint does not tell. Gives values by path, or null if the user would rather not. */
export function askFields(fields) {
  const rows = fields.map(({ field, hint }) => {
    const input = make('input', { name: field, required: true, autocomplete: 'off' });
    input.setAttribute('aria-describedby', `hint-${field}`);
    return make('label', {}, make('span', { textContent: field.split('.').pop().replaceAll('_', ' ') }), input, make('span', { id: `hint-${field}`, className: 'facts', textContent: hint }));
  });
  $('import-fields').replaceChildren(...rows);
  const dialog = $('import');
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    const form = dialog.querySelector('form');
    const check = (event) => {
      if (event.submitter?.value !== 'ok') return;
      for (const input of form.querySelectorAll('input')) {
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
      const inputs = [...form.querySelectorAll('input')];
      resolve(dialog.returnValue === 'ok' ? Object.fromEntries(inputs.map((i) => [i.name, parse(i.value)])) : null);
    }, { once: true });
  });
}
