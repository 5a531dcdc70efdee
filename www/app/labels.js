// Arithmetic on labels: `(X, Y, Z)`, Z contiguous; and their colours.
import { rgb } from './format.js';

/**
 * Voxels of each value.
 * @param {Uint8Array} labels
 */
export function counts(labels) {
  const all = new Uint32Array(256);
  for (const value of labels) all[value] += 1;
  return all;
}

/** mm3 of a voxel. @param {number[][]} a the affine */
export function voxelVolume(a) {
  const [[b, c, d], [e, f, g], [h, i, j]] = a;
  return Math.abs(b * (f * j - g * i) - c * (e * j - g * h) + d * (e * i - f * h));
}

/**
 * The voxel of a label that lies nearest to the label's centroid: the centroid itself may lie outside. Null where there is none.
 * @param {Uint8Array} labels
 * @param {[number, number, number]} dims
 * @param {number} value
 * @returns {[number, number, number] | null}
 */
export function middleOf(labels, [nx, ny, nz], value) {
  let n = 0;
  let [sx, sy, sz] = [0, 0, 0];
  for (let x = 0, at = 0; x < nx; x += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let z = 0; z < nz; z += 1, at += 1) {
        if (labels[at] !== value) continue;
        n += 1;
        sx += x;
        sy += y;
        sz += z;
      }
    }
  }
  if (n === 0) return null;
  const [cx, cy, cz] = [sx / n, sy / n, sz / n];
  /** @type {[number, number, number] | null} */
  let best = null;
  let least = Infinity;
  for (let x = 0, at = 0; x < nx; x += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let z = 0; z < nz; z += 1, at += 1) {
        if (labels[at] !== value) continue;
        const d = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2;
        if (d < least) {
          least = d;
          best = [x, y, z];
        }
      }
    }
  }
  return best;
}

/**
 * Statistics whose voxels and volumes are those of labels that were changed by hand; the rest is the package's to tell.
 * @param {import('unetr-wgpu').LabelStatistics[]} before
 * @param {Uint8Array} labels
 * @param {number[][]} affine
 */
export function recounted(before, labels, affine) {
  const ml = voxelVolume(affine) / 1000;
  const all = counts(labels);
  return before.map((s) => ({ ...s, voxels: all[s.value], volume_ml: all[s.value] * ml }));
}

/** Colours with less between their least and largest part are greys: over a scan nobody sees them. */
const GREY = 40;

/** @param {number[]} rgb */
function hueOf([r, g, b]) {
  const most = Math.max(r, g, b);
  const spread = most - Math.min(r, g, b);
  return 60 * (most === r ? ((g - b) / spread + 6) % 6 : most === g ? (b - r) / spread + 2 : (r - g) / spread + 4);
}

/**
 * The table as the page shows it: a label that is grey gets the hue that is farthest from all others.
 * @template {import('unetr-wgpu').Label} T
 * @param {T[]} table
 * @returns {T[]}
 */
export function distinct(table) {
  const spread = (/** @type {number[]} */ parts) => Math.max(...parts) - Math.min(...parts);
  const hues = table.map(({ color }) => rgb(color)).filter((parts) => spread(parts) >= GREY).map(hueOf);
  const far = (/** @type {number} */ hue) => Math.min(360, ...hues.map((h) => Math.min(Math.abs(h - hue), 360 - Math.abs(h - hue))));
  return table.map((label) => {
    if (spread(rgb(label.color)) >= GREY) return label;
    const hue = Array.from({ length: 72 }, (_, i) => 5 * i).reduce((best, h) => (far(h) > far(best) ? h : best));
    hues.push(hue);
    const part = (/** @type {number} */ n) => {
      const k = (n + hue / 30) % 12;
      return Math.round(255 * (0.6 - 0.2 * Math.max(-1, Math.min(k - 3, 9 - k, 1)))).toString(16).padStart(2, '0');
    };
    return { ...label, color: `#${part(0)}${part(8)}${part(4)}` };
  });
}
