// Labels as the viewer's drawing: bytes that are never interpolated, so that a hidden label leaves no rim, whose colours
// change without the volume being uploaded again, and that a brush can change.
import { rgb } from '../format.js';

/** Between two drawings of a result that grows. */
const PAUSE_MS = 400;

/** @typedef {import('unetr-wgpu').Label} Label */

export class LabelLayer {
  #nv;
  /** Offsets of a voxel of the viewer's grid (RAS, X contiguous) in `(X, Y, Z)` with Z contiguous. @type {Int32Array[] | null} */
  #offsets = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;

  /** @param {any} nv */
  constructor(nv) {
    this.#nv = nv;
  }

  get shown() {
    return this.#offsets !== null;
  }

  /** Takes the grid of the scan that is shown. Gives whether labels of these dimensions fit it. @param {ArrayLike<number>} dims */
  begin(dims) {
    const { hdr, permRAS } = this.#nv.volumes[0] ?? {};
    if (!hdr || [0, 1, 2].some((a) => hdr.dims[a + 1] !== dims[a])) return false;
    const strides = [dims[1] * dims[2], dims[2], 1];
    this.#offsets = [0, 1, 2].map((axis) => {
      const native = Math.abs(permRAS[axis]) - 1;
      const n = dims[native];
      return Int32Array.from({ length: n }, (_, r) => strides[native] * (permRAS[axis] < 0 ? n - 1 - r : r));
    });
    this.#nv.createEmptyDrawing();
    return true;
  }

  /** All labels at once. @param {Uint8Array} labels `(X, Y, Z)`, Z contiguous */
  fill(labels) {
    if (!this.#offsets) return;
    const [xs, ys, zs] = this.#offsets;
    const bitmap = this.#nv.drawBitmap;
    let at = 0;
    for (const z of zs) for (const y of ys) for (const x of xs) bitmap[at++] = labels[x + y + z];
    this.#nv.drawClearAllUndoBitmaps();
    this.#nv.drawAddUndoBitmap();
    this.#upload();
  }

  /** A box of labels that are final; drawn now and then. @param {import('unetr-wgpu').LabelBox} box @param {Uint8Array} whole all labels so far */
  add(box, whole) {
    if (!this.#offsets) return;
    const { begin, extent } = box;
    const { permRAS } = this.#nv.volumes[0];
    const [xs, ys, zs] = this.#offsets;
    const nx = xs.length;
    const ny = ys.length;
    const range = [0, 1, 2].map((axis) => {
      const native = Math.abs(permRAS[axis]) - 1;
      const n = this.#offsets?.[axis].length ?? 0;
      const from = permRAS[axis] < 0 ? n - begin[native] - extent[native] : begin[native];
      return [from, from + extent[native]];
    });
    const bitmap = this.#nv.drawBitmap;
    for (let z = range[2][0]; z < range[2][1]; z += 1) {
      for (let y = range[1][0]; y < range[1][1]; y += 1) {
        for (let x = range[0][0]; x < range[0][1]; x += 1) bitmap[x + nx * (y + ny * z)] = whole[xs[x] + ys[y] + zs[z]];
      }
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#offsets) this.#upload();
    }, PAUSE_MS);
  }

  /** The labels as they are drawn now, `(X, Y, Z)` with Z contiguous. */
  read() {
    if (!this.#offsets) return new Uint8Array();
    const [xs, ys, zs] = this.#offsets;
    const labels = new Uint8Array(xs.length * ys.length * zs.length);
    const bitmap = this.#nv.drawBitmap;
    let at = 0;
    for (const z of zs) for (const y of ys) for (const x of xs) labels[x + y + z] = bitmap[at++];
    return labels;
  }

  /** The label at a voxel of the viewer's grid. @param {ArrayLike<number>} voxel */
  at(voxel) {
    if (!this.#offsets) return 0;
    const [x, y, z] = [voxel[0], voxel[1], voxel[2]];
    const [nx, ny] = [this.#offsets[0].length, this.#offsets[1].length];
    return this.#nv.drawBitmap[x + nx * (y + ny * z)] ?? 0;
  }

  /**
   * Draws from one voxel to another, but not over labels that are hidden: nobody would see what is lost.
   * @param {(value: number) => number} visible @param {number[]} from @param {number[]} to @param {() => void} draw
   */
  sparing(visible, from, to, draw) {
    if (!this.#offsets) return;
    const bitmap = this.#nv.drawBitmap;
    const reach = Math.floor(this.#nv.opts.penSize / 2);
    const sizes = this.#offsets.map((offsets) => offsets.length);
    const [xs, ys, zs] = sizes.map((n, a) => {
      const [one, other] = [from[a], to[a]].map((v) => Math.max(0, Math.min(n - 1, v)));
      return [Math.max(0, Math.min(one, other) - reach), Math.min(n - 1, Math.max(one, other) + reach)];
    });
    /** @type {[number, number][]} */
    const kept = [];
    for (let z = zs[0]; z <= zs[1]; z += 1) {
      for (let y = ys[0]; y <= ys[1]; y += 1) {
        for (let x = xs[0]; x <= xs[1]; x += 1) {
          const at = x + sizes[0] * (y + sizes[1] * z);
          if (bitmap[at] !== 0 && visible(bitmap[at]) === 0) kept.push([at, bitmap[at]]);
        }
      }
    }
    draw();
    for (const [at, value] of kept) bitmap[at] = value;
  }

  /** The viewer's voxel of a voxel of the file. @param {ArrayLike<number>} voxel */
  toView(voxel) {
    const { permRAS } = this.#nv.volumes[0];
    return [0, 1, 2].map((axis) => {
      const native = Math.abs(permRAS[axis]) - 1;
      const n = this.#nv.volumes[0].dimsRAS[axis + 1];
      return permRAS[axis] < 0 ? n - 1 - voxel[native] : voxel[native];
    });
  }

  clear() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#offsets) return;
    this.#offsets = null;
    this.#nv.closeDrawing();
  }

  /** Colours of all labels; those that are not to be seen get none. @param {Label[]} table @param {(value: number) => number} opacity */
  paint(table, opacity) {
    const lut = new Uint8ClampedArray(256 * 4);
    for (const { value, color } of table) lut.set([...rgb(color), Math.round(255 * opacity(value))], 4 * value);
    this.#nv.drawLut = { lut, labels: [] };
    this.#nv.refreshColormaps();
    this.#nv.drawScene();
  }

  #upload() {
    this.#nv.refreshDrawing(true);
  }
}
