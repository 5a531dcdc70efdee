// Orders of voxels: this package keeps volumes with Z contiguous, viewers and files with X contiguous.

/** @import { LabelBox } from './types.js' */

/** @typedef {Float32Array | Float64Array | Uint8Array | Uint8ClampedArray | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array} NumberArray */

/**
 * @typedef {object} Voxels
 * @property {NumberArray} data
 * @property {number} channels
 * @property {number[]} dims
 * @property {number[][]} affine
 * @property {'x' | 'z'} contiguous
 * @property {number} slope
 * @property {number} intercept
 */

/** Voxels along each side of what is turned at a time: rows of both orders stay in the cache. */
const TILE = 32;

/**
 * Copies one volume from X contiguous to Z contiguous; with the dimensions in reverse order, back.
 * @param {ArrayLike<number>} from
 * @param {{ [at: number]: number }} to
 * @param {ArrayLike<number>} dims
 * @param {(value: number) => number} [change]
 * @param {number} [start] where the volume begins in both
 */
function turn(from, to, dims, change = (value) => value, start = 0) {
  const [nx, ny, nz] = Array.from(dims);
  for (let y = 0; y < ny; y += 1) {
    for (let z0 = 0; z0 < nz; z0 += TILE) {
      for (let x0 = 0; x0 < nx; x0 += TILE) {
        const [z1, x1] = [Math.min(z0 + TILE, nz), Math.min(x0 + TILE, nx)];
        for (let x = x0; x < x1; x += 1) {
          for (let z = z0; z < z1; z += 1) to[start + z + nz * (y + ny * x)] = change(from[start + x + nx * (y + ny * z)]);
        }
      }
    }
  }
}

/**
 * Voxels as the module takes them: 32 bits, scaled, Z contiguous. What does not fit its dimensions is left as it is, to be refused there.
 * @param {Voxels} voxels
 * @returns {Float32Array}
 */
export function floats({ data, channels, dims, contiguous, slope, intercept }) {
  const scaled = slope !== 1 || intercept !== 0;
  const scale = (/** @type {number} */ value) => slope * value + intercept;
  const size = dims.reduce((a, b) => a * b, 1);
  if (contiguous === 'z' || data.length !== channels * size) {
    if (scaled) return Float32Array.from(data, scale);
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }
  const out = new Float32Array(data.length);
  for (let c = 0; c < channels; c += 1) turn(data, out, dims, scaled ? scale : undefined, c * size);
  return out;
}

/**
 * Labels `(X, Y, Z)` with Z contiguous as viewers and files keep them, with X contiguous.
 * @param {Uint8Array} labels
 * @param {[number, number, number]} dims
 * @param {Uint8Array} [to]
 */
export function xContiguous(labels, dims, to = new Uint8Array(labels.length)) {
  turn(labels, to, [dims[2], dims[1], dims[0]]);
  return to;
}

/**
 * Writes a part of a result into labels with X contiguous.
 * @param {LabelBox} box
 * @param {{ [at: number]: number }} to
 * @param {ArrayLike<number>} dims
 */
export function lay({ begin: [bx, by, bz], extent: [ex, ey, ez], labels }, to, dims) {
  for (let x = 0, at = 0; x < ex; x += 1) {
    for (let y = 0; y < ey; y += 1) {
      for (let z = 0; z < ez; z += 1, at += 1) to[bx + x + dims[0] * (by + y + dims[1] * (bz + z))] = labels[at];
    }
  }
}
