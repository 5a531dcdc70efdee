/**
 * Segments what a NiiVue viewer shows; the labels become an overlay of it. For `@niivue/niivue` 0.69 and 1.0, which is not
 * loaded by this module. Research use only, not a medical device.
 * @module
 */
import { UnetrError, aborted } from './errors.js';
import { lay, xContiguous } from './grid.js';
import { alike, rgb, runOnce, valuesOf } from './run.js';

/**
 * @import { Affine, Label, LabelBox, Volume } from './types.js'
 * @import { SegmentationResult } from './result.js'
 * @import { Model, RunOnce } from './run.js'
 */

/**
 * As much of a NiiVue viewer as is used here.
 * @typedef {object} Viewer
 * @property {any[]} volumes
 * @property {(volume: any) => any} addVolume
 * @property {() => any} updateGLVolume
 */

/**
 * @typedef {object} Place
 * @property {any[]} [volumes] The volumes of the viewer that are the model's channels, in their order. Default the first ones.
 * @property {number} [opacity] Of the overlay, 0 to 1. Default 0.6.
 * @property {string} [name] Of the overlay. Default the scan's name with `_labels`.
 */

/** @typedef {Model & RunOnce & Place} NiivueOptions */

/** Shortest time between two drawings of labels that grow, and how many times that of a drawing. */
const PAUSE_MS = 400;
const SHARE = 4;

/** Types of NIfTI whose voxels are colours: RGB and RGBA. */
const COLOURS = [128, 2304];

/** A run's labels as an overlay. */
export class NiivueLabels {
  /** @readonly @type {SegmentationResult} */
  result;
  /**
   * The overlay, a volume of the viewer.
   * @readonly @type {any}
   */
  volume;
  #layer;

  /**
   * @internal
   * @param {Layer} layer
   * @param {SegmentationResult} result
   */
  constructor(layer, result) {
    this.#layer = layer;
    this.result = result;
    this.volume = layer.volume;
  }

  /**
   * Shows these labels alone, by value or name; null shows all.
   * @param {number | string | (number | string)[] | null} labels
   * @returns {Promise<void>}
   */
  async isolate(labels) {
    await this.#layer.show(labels === null ? null : valuesOf(this.result.labelTable, labels));
  }

  /**
   * Takes the overlay off the viewer; the result stays valid.
   * @returns {Promise<void>}
   */
  async dispose() {
    await this.#layer.remove();
  }
}

/**
 * Segments the scan that a viewer shows, as it shows it: with its slope and intercept, its affine, and of several frames
 * the one that is shown. The overlay grows as labels become final; a run that is stopped or fails leaves none.
 * @param {Viewer} viewer
 * @param {NiivueOptions} options
 * @returns {Promise<NiivueLabels>}
 */
export async function segmentNiivue(viewer, options) {
  const { volumes, opacity = 0.6, name, ...rest } = options;
  if (!(opacity >= 0 && opacity <= 1)) throw new UnetrError('bad-input', `options.opacity is ${opacity}: it must be from 0 to 1`);
  /** @type {Layer | undefined} */
  let layer;
  /** @type {any} */
  let first;
  try {
    const result = await runOnce(rest, {
      scan(channels) {
        const chosen = volumes ?? viewer.volumes.slice(0, channels);
        if (chosen.length !== channels) {
          throw new UnetrError('bad-input', `the model needs ${channels} volume(s) and ${chosen.length} is or are there: load them, or give options.volumes`);
        }
        [first] = chosen;
        return scanOf(chosen);
      },
      async begin(table, volume) {
        layer = await Layer.add(viewer, first, volume, table, opacity, name ?? `${baseName(first.name)}_labels`);
        if (rest.signal?.aborted) throw aborted(rest.signal.reason);
      },
      part(box) { layer?.add(box); },
    });
    if (!layer || !viewer.volumes.includes(first)) throw new UnetrError('aborted', 'the scan was taken off the viewer before its labels were ready');
    await layer.fill(result.labels);
    return new NiivueLabels(layer, result);
  } catch (error) {
    await layer?.remove();
    throw error;
  }
}

/**
 * Volumes of a viewer as one scan.
 * @param {any[]} volumes
 * @returns {Volume}
 */
export function scanOf(volumes) {
  const frames = volumes.map(frameOf);
  const [one, ...others] = frames;
  for (const other of others) {
    if (one.dims.some((n, a) => n !== other.dims[a]) || !alike(one.affine, other.affine)) {
      throw new UnetrError('bad-input', `${other.name} and ${one.name} are not on one grid: resample them onto one first`);
    }
  }
  const { dims, affine, slope, intercept } = one;
  if (others.length === 0) return { data: one.data, dims, affine, contiguous: 'x', slope, intercept };
  const data = new Float32Array(one.data.length * frames.length);
  frames.forEach((frame, c) => {
    const start = c * frame.data.length;
    for (let i = 0; i < frame.data.length; i += 1) data[start + i] = frame.slope * frame.data[i] + frame.intercept;
  });
  return { data, channels: frames.length, dims, affine, contiguous: 'x' };
}

/**
 * The frame of a volume that is shown.
 * @param {any} volume
 */
function frameOf(volume) {
  const { hdr, img, frame4D = 0, name = 'the volume' } = volume ?? {};
  if (!hdr || !img) throw new UnetrError('bad-input', `${name} has no voxels yet: wait until the viewer has loaded it`);
  if (COLOURS.includes(hdr.datatypeCode)) throw new UnetrError('bad-input', `${name} has colours for voxels: a scan of one value for each voxel is needed`);
  const dims = /** @type {[number, number, number]} */ ([1, 2, 3].map((a) => Math.max(1, hdr.dims[a])));
  const size = dims[0] * dims[1] * dims[2];
  const data = img.subarray(frame4D * size, (frame4D + 1) * size);
  if (data.length !== size) throw new UnetrError('bad-input', `frame ${frame4D} of ${name} is not loaded: load it, or show another`);
  const affine = /** @type {Affine} */ (hdr.affine.map((/** @type {number[]} */ row) => Array.from(row)));
  const slope = Number.isFinite(hdr.scl_slope) && hdr.scl_slope !== 0 ? hdr.scl_slope : 1;
  return { data, dims, affine, slope, intercept: Number.isFinite(hdr.scl_inter) ? hdr.scl_inter : 0, name };
}

/**
 * The label table as NiiVue's colour map.
 * @param {Label[]} table
 */
export function colormapOf(table) {
  const colors = table.map(({ color }) => rgb(color));
  const column = (/** @type {number} */ c) => [0, ...colors.map((color) => color[c])];
  return {
    R: column(0), G: column(1), B: column(2), A: [0, ...table.map(() => 255)],
    I: [0, ...table.map(({ value }) => value)], labels: ['background', ...table.map(({ name }) => name)],
  };
}

/** @param {string | undefined} name */
function baseName(name) {
  return (name ?? 'scan').split('/').pop()?.replace(/\.(nii|mgh|mgz|nrrd|nhdr|mha|mhd)?(\.gz)?$/i, '') || 'scan';
}

/** An overlay on the grid of a scan. */
class Layer {
  volume;
  #viewer;
  #dims;
  /** All labels, X contiguous, whatever is shown of them. */
  #labels;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #pause = PAUSE_MS;
  /** @type {Set<number> | null} */
  #only = null;

  /**
   * @param {Viewer} viewer
   * @param {any} volume
   * @param {[number, number, number]} dims
   */
  constructor(viewer, volume, dims) {
    this.#viewer = viewer;
    this.volume = volume;
    this.#dims = dims;
    this.#labels = new Uint8Array(volume.img.length);
  }

  /**
   * @param {any} viewer
   * @param {any} scan
   * @param {Volume} grid
   * @param {Label[]} table
   * @param {number} opacity
   * @param {string} name
   */
  static async add(viewer, scan, { dims, affine }, table, opacity, name) {
    const file = new File([niftiOf(dims, affine)], 'labels.nii');
    const map = colormapOf(table);
    let volume;
    if (typeof viewer.setColormapLabel === 'function') {
      // NiiVue 1.0: volumes are plain objects, made and changed by the viewer.
      await viewer.addVolume({ url: file, name, opacity, isColorbarVisible: false });
      volume = viewer.volumes.at(-1);
      await viewer.setColormapLabel(viewer.volumes.length - 1, map);
      if (!alike(volume.hdr.affine, affine)) await viewer.setVolumeAffine(viewer.volumes.length - 1, affine);
    } else {
      // The class of the scan: a page may hold NiiVue twice.
      volume = await scan.constructor.loadFromFile({ file, opacity });
      volume.name = name;
      volume.hdr.affine = affine.map((row) => [...row]);
      volume.calculateRAS();
      volume.setColormapLabel(map);
      volume.colorbarVisible = false;
      viewer.addVolume(volume);
    }
    return new Layer(viewer, volume, dims);
  }

  /** @param {LabelBox} box */
  add(box) {
    lay(box, this.#labels, this.#dims);
    this.#timer ??= setTimeout(() => this.#grow(), this.#pause);
  }

  /** Draws what has come, and leaves the viewer time for other things before it does so again. */
  async #grow() {
    const began = performance.now();
    try {
      await this.#draw();
    } catch (error) {
      console.error('unetr-wgpu: the viewer could not draw labels that grow:', error);
    }
    this.#pause = Math.max(PAUSE_MS, SHARE * (performance.now() - began));
    this.#timer = undefined;
  }

  /** @param {Uint8Array} labels `(X, Y, Z)`, Z contiguous */
  async fill(labels) {
    clearTimeout(this.#timer);
    xContiguous(labels, this.#dims, this.#labels);
    await this.#draw();
  }

  /** @param {number[] | null} values */
  async show(values) {
    this.#only = values && new Set(values);
    await this.#draw();
  }

  /** Voxels and not colours are changed: where colours are interpolated a hidden label would leave a rim. */
  async #draw() {
    if (!this.#viewer.volumes.includes(this.volume)) return;
    const { img } = this.volume;
    const only = this.#only;
    if (only) for (let i = 0; i < img.length; i += 1) img[i] = only.has(this.#labels[i]) ? this.#labels[i] : 0;
    else img.set(this.#labels);
    this.volume.isDirty = true;
    await this.#viewer.updateGLVolume();
  }

  async remove() {
    clearTimeout(this.#timer);
    const viewer = /** @type {any} */ (this.#viewer);
    const at = viewer.volumes.indexOf(this.volume);
    if (at < 0) return;
    if (typeof viewer.removeVolume === 'function') viewer.removeVolume(this.volume);
    else {
      viewer.model.removeVolume(at);
      await viewer.updateGLVolume();
    }
  }
}

/**
 * A NIfTI-1 file of labels that are all 0.
 * @param {[number, number, number]} dims
 * @param {Affine} affine
 */
function niftiOf(dims, affine) {
  const bytes = new ArrayBuffer(352 + dims[0] * dims[1] * dims[2]);
  const view = new DataView(bytes);
  view.setInt32(0, 348, true);
  [3, ...dims, 1, 1, 1, 1].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(68, 1002, true);
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  const edges = [0, 1, 2].map((a) => Math.hypot(affine[0][a], affine[1][a], affine[2][a]));
  [1, ...edges].forEach((mm, i) => view.setFloat32(76 + 4 * i, mm, true));
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setUint8(123, 10);
  view.setInt16(254, 2, true);
  affine.slice(0, 3).flat().forEach((mm, i) => view.setFloat32(280 + 4 * i, mm, true));
  view.setUint32(344, 0x6e2b3100);
  return bytes;
}
