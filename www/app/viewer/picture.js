// The picture that is saved: what the viewer shows, with a legend, the scan's name and the notice, and no transparent pixel.
import { words } from '../format.js';

/**
 * @typedef {object} Legend
 * @property {{name: string, color: string, ml: number}[]} rows
 * @property {string} title
 * @property {string[]} lines
 */

/**
 * @param {{canvas: HTMLCanvasElement, dpr: number}} view
 * @param {Legend} legend
 * @returns {Promise<Blob>}
 */
export function pictureFile({ canvas, dpr }, { rows, title, lines }) {
  const line = 20 * dpr;
  const side = rows.length > 0 ? 250 * dpr : 0;
  const foot = (lines.length + 1) * line + 14 * dpr;
  const whole = document.createElement('canvas');
  whole.width = canvas.width + side;
  whole.height = Math.max(canvas.height, rows.length * line + 40 * dpr) + foot;
  const context = /** @type {CanvasRenderingContext2D} */ (whole.getContext('2d', { alpha: false }));
  context.fillStyle = '#000';
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(canvas, 0, 0);
  context.textBaseline = 'middle';
  let y = 24 * dpr;
  for (const { name, color, ml } of rows) {
    context.fillStyle = color;
    context.fillRect(canvas.width + 14 * dpr, y - 7 * dpr, 14 * dpr, 14 * dpr);
    context.fillStyle = '#e6eaf0';
    context.font = `${13 * dpr}px system-ui, sans-serif`;
    context.textAlign = 'left';
    context.fillText(words(name), canvas.width + 36 * dpr, y, side - 120 * dpr);
    context.textAlign = 'right';
    context.fillText(`${ml.toFixed(2)} ml`, whole.width - 14 * dpr, y);
    y += line;
  }
  context.textAlign = 'left';
  y = whole.height - foot + 16 * dpr;
  context.fillStyle = '#e6eaf0';
  context.font = `600 ${14 * dpr}px system-ui, sans-serif`;
  context.fillText(title, 14 * dpr, y, whole.width - 28 * dpr);
  context.font = `${12 * dpr}px system-ui, sans-serif`;
  context.fillStyle = '#b8c2d0';
  for (const text of lines) {
    y += line;
    context.fillText(text, 14 * dpr, y, whole.width - 28 * dpr);
  }
  return new Promise((resolve, reject) => {
    whole.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the picture could not be made'))), 'image/png');
  });
}
