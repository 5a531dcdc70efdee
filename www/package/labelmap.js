// Volumes and labelmaps as Cornerstone3D keeps them: an image for each slice, X contiguous, placed in DICOM's LPS space.
import { UnetrError } from './errors.js';
import { lay, xContiguous } from './grid.js';
import { alike } from './run.js';

/** @import { Affine, LabelBox, Volume } from './types.js' */

/** Shortest time between two drawings of labels that grow. */
const PAUSE_MS = 400;

/**
 * Volumes of Cornerstone as one scan. Their values are in the modality's units where Cornerstone has not scaled them yet.
 * @param {any} core
 * @param {any[]} volumes
 * @returns {Volume}
 */
export function scanOfVolumes(core, volumes) {
  const [first] = volumes;
  const affine = affineOf(first);
  const dims = /** @type {[number, number, number]} */ ([0, 1, 2].map((a) => first.dimensions[a]));
  for (const other of volumes.slice(1)) {
    if (dims.some((n, a) => n !== other.dimensions[a]) || !alike(affine, affineOf(other))) {
      throw new UnetrError('bad-input', `the volumes "${other.volumeId}" and "${first.volumeId}" are not on one grid: resample them onto one first`);
    }
  }
  const channels = volumes.map((volume) => voxelsOf(core, volume, dims[0] * dims[1]));
  if (channels.length === 1) return { data: channels[0], dims, affine, contiguous: 'x' };
  const data = new Float32Array(channels.length * channels[0].length);
  channels.forEach((channel, c) => data.set(channel, c * channel.length));
  return { data, channels: channels.length, dims, affine, contiguous: 'x' };
}

/**
 * Voxel index to mm in RAS.
 * @param {any} volume
 * @returns {Affine}
 */
function affineOf({ spacing, origin, direction }) {
  const row = (/** @type {number} */ r, /** @type {number} */ sign) => [...[0, 1, 2].map((a) => sign * direction[3 * a + r] * spacing[a]), sign * origin[r]];
  return [row(0, -1), row(1, -1), row(2, 1), [0, 0, 0, 1]];
}

/**
 * @param {any} core
 * @param {any} volume
 * @param {number} slice voxels of a slice
 */
function voxelsOf({ cache, metaData, Enums }, volume, slice) {
  const { imageIds = [], voxelManager, volumeId } = volume;
  if ((voxelManager.numberOfComponents ?? 1) !== 1) throw new UnetrError('bad-input', `the volume "${volumeId}" has colours for voxels: a scan of one value for each voxel is needed`);
  const missing = imageIds.filter((/** @type {string} */ id) => !cache.getImage(id)).length;
  if (missing > 0) throw new UnetrError('bad-input', `${missing} of ${imageIds.length} images of the volume "${volumeId}" could not be loaded`);
  const raw = imageIds.map((/** @type {string} */ id) => {
    const { rescaleSlope = 1, rescaleIntercept = 0 } = metaData.get(Enums.MetadataModules.MODALITY_LUT, id) ?? {};
    return cache.getImage(id).preScale?.scaled ? [1, 0] : [Number(rescaleSlope), Number(rescaleIntercept)];
  });
  const data = voxelManager.getCompleteScalarDataArray();
  if (raw.every((/** @type {number[]} */ [slope, intercept]) => slope === 1 && intercept === 0)) return data;
  const scaled = Float32Array.from(data);
  raw.forEach((/** @type {number[]} */ [slope, intercept], /** @type {number} */ z) => {
    for (let i = z * slice; i < (z + 1) * slice; i += 1) scaled[i] = slope * scaled[i] + intercept;
  });
  return scaled;
}

/** Writes labels into the images of a labelmap, and says so now and then. */
export class Labelmap {
  imageIds;
  #cache;
  #dims;
  #changed;
  #whole;
  /** @type {Set<number>} */
  #touched = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {any} core
   * @param {string[]} imageIds one for each slice, in the volume's order
   * @param {[number, number, number]} dims
   * @param {(slices: number[]) => void} changed
   */
  constructor({ cache }, imageIds, dims, changed) {
    this.imageIds = imageIds;
    this.#cache = cache;
    this.#dims = dims;
    this.#changed = changed;
    this.#whole = new Uint8Array(dims[0] * dims[1] * dims[2]);
  }

  /** @param {LabelBox} box */
  add(box) {
    lay(box, this.#whole, this.#dims);
    for (let z = box.begin[2]; z < box.begin[2] + box.extent[2]; z += 1) this.#touched.add(z);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#write();
    }, PAUSE_MS);
  }

  /** @param {Uint8Array} labels `(X, Y, Z)`, Z contiguous */
  fill(labels) {
    this.stop();
    xContiguous(labels, this.#dims, this.#whole);
    this.#touched = new Set(this.imageIds.keys());
    this.#write();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write() {
    const size = this.#dims[0] * this.#dims[1];
    const slices = [...this.#touched].sort((a, b) => a - b);
    this.#touched.clear();
    for (const z of slices) {
      const image = this.#cache.getImage(this.imageIds[z]);
      // Somebody may have removed the segmentation meanwhile.
      if (!image) return;
      image.voxelManager.getScalarData().set(this.#whole.subarray(z * size, (z + 1) * size));
    }
    this.#changed(slices);
  }
}
