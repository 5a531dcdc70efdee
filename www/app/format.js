// Numbers, names and elements as the page shows them.

/**
 * The element of this id; one that is not there is a fault of the page.
 * @param {string} id
 * @returns {any}
 */
export function $(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element "${id}"`);
  return element;
}

/** @param {string} name */
export function words(name) {
  return name.replaceAll('_', ' ');
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** @param {ArrayLike<number>} values @param {number} digits */
export const times = (values, digits) => Array.from(values, (v) => Number(v.toFixed(digits))).join(' × ');
/** @param {number} bytes */
export const mib = (bytes) => (bytes < 2 ** 20 ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${Math.ceil(bytes / 2 ** 20)} MiB`);
/** @param {number} n @param {string} noun */
export const plural = (n, noun) => `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;

/**
 * An element with properties and children.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A square of this colour. The content security policy allows no style in the markup. @param {string} color */
export function swatch(color) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'swatch');
  const square = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [key, value] of Object.entries({ width: '14', height: '14', fill: color })) square.setAttribute(key, value);
  svg.append(square);
  return svg;
}

/** @param {string} color `#rrggbb` @returns {[number, number, number]} */
export function rgb(color) {
  return /** @type {[number, number, number]} */ ([1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
}

/** Lets the page be drawn between two pieces of work; goes on in a hidden tab too. @returns {Promise<void>} */
export function nextFrame() {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 100);
    requestAnimationFrame(() => {
      clearTimeout(timer);
      setTimeout(resolve);
    });
  });
}

/** @param {BlobPart} content @param {string} name @param {string} type */
export function save(content, name, type) {
  const link = make('a', { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
