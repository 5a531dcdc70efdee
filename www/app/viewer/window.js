// Grey levels: level and width, presets for CT, and a window that suits the scan when it is opened.

/** In Hounsfield units. @type {{name: string, level: number, width: number}[]} */
export const PRESETS = [
  { name: 'Soft tissue', level: 40, width: 400 },
  { name: 'Lung', level: -600, width: 1500 },
  { name: 'Bone', level: 400, width: 1800 },
  { name: 'Brain', level: 40, width: 80 },
  { name: 'Liver', level: 60, width: 150 },
];

/**
 * Whether these values are Hounsfield units: air lies near -1000, and nothing but CT has such values beside soft tissue's.
 * @param {{global_min: number, global_max: number}} volume
 */
export function looksLikeCt({ global_min: min, global_max: max }) {
  return min <= -500 && min >= -8192 && max >= 200;
}

/**
 * @param {{global_min: number, global_max: number, robust_min: number, robust_max: number}} volume
 * @returns {{level: number, width: number, preset: string}}
 */
export function fittingWindow(volume) {
  if (looksLikeCt(volume)) return { level: 40, width: 400, preset: 'Soft tissue' };
  const { robust_min: low, robust_max: high } = volume;
  const [from, to] = high > low ? [low, high] : [volume.global_min, volume.global_max > volume.global_min ? volume.global_max : volume.global_min + 1];
  return { level: (from + to) / 2, width: to - from, preset: 'Automatic' };
}
