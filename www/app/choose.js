// A question with a few answers.
import { $, make } from './format.js';

/**
 * Asks; gives the key of the answer, or null for none. The first answer is the one that Enter takes.
 * @param {{title: string, text: string, choices: [string, string][], body?: Node}} question
 * @returns {Promise<string | null>}
 */
export function choose({ title, text, choices, body }) {
  /** @type {HTMLDialogElement} */
  const dialog = $('choice');
  if (dialog.open) dialog.close('');
  $('choice-title').textContent = title;
  $('choice-text').textContent = text;
  $('choice-body').replaceChildren(...(body ? [body] : []));
  $('choice-buttons').replaceChildren(
    ...choices.map(([value, words], i) => make('button', { type: 'submit', value, textContent: words, className: i === 0 ? 'accent' : '' })),
    make('button', { type: 'submit', value: '', textContent: 'Cancel', formNoValidate: true }),
  );
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue || null), { once: true });
  });
}
