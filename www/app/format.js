// Numbers and names as people read them.

export const $ = (id) => document.getElementById(id);

export function words(name) {
  return name.replaceAll('_', ' ');
}

export function duration(ms) {
  if (ms < 950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

export const times = (values, digits) => values.map((v) => Number(v.toFixed(digits))).join(' × ');
export const mib = (bytes) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
export const plural = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** An element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function save(content, name, type) {
  const link = make('a', { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
