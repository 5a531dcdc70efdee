/** @import { Affine, DeviceReport, Label, LabelStatistics, Plan } from './types.js' */

/** A segmented scan; plain data, valid after the segmenter is disposed. */
export class SegmentationResult {
  /**
   * One byte per voxel of the scan's own grid, `(X, Y, Z)`, Z contiguous.
   * @readonly @type {Uint8Array<ArrayBuffer>}
   */
  labels;
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
  /** @type {string} */
  #csv;
  /** @type {string} */
  #json;

  /**
   * What the worker tells of a run.
   * @internal
   * @param {any} answer
   */
  constructor({ nifti, statisticsCsv, statisticsJson, ...rest }) {
    Object.assign(this, rest);
    this.#nifti = nifti;
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

  /** @returns {string} */
  statisticsCsv() {
    return this.#csv;
  }

  /** @returns {string} */
  statisticsJson() {
    return this.#json;
  }
}
