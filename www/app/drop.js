// Files that are held over the page and dropped on it. The viewer's canvas stops these events, so they are heard on their
// way down.
import { droppedFiles } from './files.js';

/** Files that are held over the page are told of several times a second; not every way of taking them away is. */
const SILENT_MS = 1000;

/**
 * @param {(dropping: boolean) => void} hover
 * @param {(files: File[]) => void} opened
 */
export function listenForDrops(hover, opened) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const capture = { capture: true };
  const end = () => {
    clearTimeout(timer);
    hover(false);
  };
  /** @param {DragEvent} event */
  const over = (event) => {
    if (!event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    hover(true);
    clearTimeout(timer);
    timer = setTimeout(end, SILENT_MS);
  };
  addEventListener('dragenter', over, capture);
  addEventListener('dragover', over, capture);
  // Out of the window there is nothing that is entered instead.
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) end(); }, capture);
  addEventListener('drop', async (event) => {
    if (!event.dataTransfer) return;
    event.preventDefault();
    event.stopPropagation();
    end();
    opened(await droppedFiles(event.dataTransfer));
  }, capture);
}
