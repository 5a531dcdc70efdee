/** @import { Affine, DeviceReport, Label, LabelStatistics, Plan } from './types.js' */

/** A segmented scan; plain data, valid after the segmenter is disposed. */
export class SegmentationResult {
  /**
   * One byte per voxel of the scan's own grid, `(X, Y, Z)`, Z contiguous.
   * @readonly @type {Uint8Array<ArrayBuffer>}
   */
  labels;
  /**
   * How undecided the model is about each voxel, in the order of the labels, where `uncertainty` was asked for: the entropy of the class
   * probabilities, from 0 to 1, where all classes are as likely; of regions, the mean of each one's.
   * @readonly @type {Float32Array<ArrayBuffer> | null}
   */
  uncertainty;
  /** @readonly @type {[number, number, number]} */
  dims;
  /** @readonly @type {Affine} */
  affine;
  /** @readonly @type {LabelStatistics[]} */
  statistics;
  /** @readonly @type {Label[]} */
  labelTable;
  /** @readonly @type {Plan} */
  plan;
  /** @readonly @type {string[]} */
  warnings;
  /**
   * Those of the warnings that say how scan and labels differ from the model's training scans.
   * @readonly @type {string[]}
   */
  doubts;
  /** @readonly @type {DeviceReport} */
  device;
  /**
   * Time of one window of this run, without the first if there were several.
   * @readonly @type {number}
   */
  windowMs;
  /**
   * How often the device was lost and the run went on, on a new one.
   * @readonly @type {number}
   */
  recoveries;
  /**
   * Size of the module's memory.
   * @readonly @type {number}
   */
  wasmBytes;
  /** @readonly @type {{ preprocessMs: number, compileMs: number, inferMs: number, postprocessMs: number, totalMs: number }} */
  timings;
  /**
   * Model, inputs, geometry, settings and device, as the command line records them.
   * @readonly @type {Record<string, unknown>}
   */
  provenance;
  /** @type {Uint8Array<ArrayBuffer>} */
  #nifti;
  /** @type {Uint8Array<ArrayBuffer> | null} */
  #uncertaintyNifti;
  /** @type {string} */
  #csv;
  /** @type {string} */
  #json;

  /**
   * What the worker tells of a run.
   * @internal
   * @param {any} answer
   */
  constructor({ nifti, uncertaintyNifti, statisticsCsv, statisticsJson, ...rest }) {
    Object.assign(this, rest);
    this.#nifti = nifti;
    this.#uncertaintyNifti = uncertaintyNifti;
    this.#csv = statisticsCsv;
    this.#json = statisticsJson;
  }

  /**
   * The labels as a `.nii.gz` file with names, colours and provenance.
   * @returns {Uint8Array<ArrayBuffer>}
   */
  toNifti() {
    return this.#nifti;
  }

  /**
   * `uncertainty` as a `.nii.gz` file.
   * @returns {Uint8Array<ArrayBuffer> | null}
   */
  uncertaintyToNifti() {
    return this.#uncertaintyNifti;
  }

  /**
   * The labels as a buffer of a device: a byte for each voxel, `(X, Y, Z)` with Z contiguous, and as many bytes of 0 as make a
   * multiple of four. They are uploaded, because they are finished on the CPU.
   * @param {GPUDevice} device
   * @param {GPUBufferUsageFlags} [usage] Default `STORAGE | COPY_SRC`.
   * @returns {GPUBuffer}
   */
  toBuffer(device, usage) {
    const { STORAGE, COPY_SRC } = /** @type {any} */ (globalThis).GPUBufferUsage;
    const buffer = device.createBuffer({ label: 'unetr labels', size: Math.ceil(this.labels.length / 4) * 4, usage: usage ?? STORAGE | COPY_SRC, mappedAtCreation: true });
    new Uint8Array(buffer.getMappedRange()).set(this.labels);
    buffer.unmap();
    return buffer;
  }

  /** @returns {string} */
  statisticsCsv() {
    return this.#csv;
  }

  /** @returns {string} */
  statisticsJson() {
    return this.#json;
  }
}
