// The one object that the page is drawn from, and the only way to change it.

/**
 * @typedef {import('unetr-wgpu').Plan} Plan
 * @typedef {import('unetr-wgpu').Progress} Progress
 * @typedef {import('unetr-wgpu').SegmentationResult} SegmentationResult
 * @typedef {import('unetr-wgpu').LabelStatistics} LabelStatistics
 * @typedef {import('unetr-wgpu').LabelComparison} LabelComparison
 * @typedef {import('unetr-wgpu').Label} Label
 * @typedef {import('unetr-wgpu').Support} Support
 *
 * @typedef {'starting' | 'idle' | 'opening' | 'compiling' | 'ready' | 'running' | 'result'} Phase
 *
 * @typedef {object} Job What is being done now; there is one at a time.
 * @property {'model' | 'scan' | 'run' | 'import' | 'compare'} kind
 * @property {string} name what it is done with
 * @property {Progress | null} progress
 * @property {AbortController} controller
 *
 * @typedef {object} Sample A scan that this site brings.
 * @property {string} scan its address
 * @property {string} [labels] this model's own result, made beforehand
 *
 * @typedef {object} Scan
 * @property {File[]} files what the segmenter reads
 * @property {string} name
 * @property {string} stem the beginning of the names of what is saved
 * @property {File[]} shown the files that the viewer can show, one per channel
 * @property {number} channel which of them is shown
 * @property {[number, number, number] | null} dims
 * @property {[number, number, number] | null} spacing
 * @property {string | string[]} [series] the DICOM series that were chosen
 * @property {Sample | null} sample
 * @property {string[]} notes what was chosen or left out on the way
 *
 * @typedef {object} ModelEntry A line of the list of models.
 * @property {URL | File | Record<string, File>} model the file, or the files of a folder by their paths
 * @property {string} name
 * @property {number} [bytes]
 * @property {string} [licence]
 * @property {string} [sha256]
 * @property {string} [fileSha256] the hash that the file must have
 * @property {string} [version]
 * @property {Sample} [sample]
 * @property {Label[]} [labels]
 * @property {Record<string, unknown>} [fields] what a checkpoint does not tell
 * @property {number} [keptAs] its number among the models that are kept in this browser
 *
 * @typedef {object} Model The model that is loaded.
 * @property {ModelEntry} entry
 * @property {import('unetr-wgpu').Segmenter['model'] & Record<string, any>} facts
 * @property {Label[]} labels
 *
 * @typedef {object} Result
 * @property {Scan} scan
 * @property {string} model
 * @property {string} sha256 of the model
 * @property {Label[]} table
 * @property {Uint8Array} labels `(X, Y, Z)`, Z contiguous; a corrected result has other labels than `run`
 * @property {[number, number, number]} dims
 * @property {number[][]} affine
 * @property {LabelStatistics[]} statistics
 * @property {SegmentationResult | null} run null for labels that were made beforehand
 * @property {Uint8Array<ArrayBuffer>} nifti the label file
 * @property {string[]} warnings
 * @property {boolean} corrected by hand
 * @property {boolean} saved
 * @property {string} [csv] its statistics, where it comes from a list
 *
 * @typedef {object} Comparison
 * @property {string} name
 * @property {LabelComparison[]} labels
 * @property {string[]} warnings
 *
 * @typedef {object} View
 * @property {'all' | 'axial' | 'coronal' | 'sagittal' | 'volume'} layout
 * @property {'axial' | 'coronal' | 'sagittal' | 'volume'} large the large one of all
 * @property {boolean} radiological
 * @property {boolean} crosshair
 * @property {boolean} outline labels as outlines
 * @property {number} scanOpacity
 * @property {number} labelOpacity
 * @property {boolean} labels whether they are shown
 * @property {boolean} uncertainty whether its map is shown, where the result has one
 * @property {'surfaces' | 'cut' | 'scan'} solid what the 3-D view shows
 * @property {'crosshair' | 'window' | 'pan' | 'distance' | 'brush' | 'eraser'} tool
 * @property {number} brush size in voxels
 * @property {number} pen the label that the brush paints
 * @property {boolean} undoable
 * @property {{level: number, width: number, preset: string} | null} window
 * @property {number} zoom
 * @property {boolean} keys single letters as shortcuts
 *
 * @typedef {object} State
 * @property {Support | null} support
 * @property {ModelEntry[]} models
 * @property {Model | null} model
 * @property {ModelEntry | null} pending the model that is loaded as soon as it is used
 * @property {boolean} offline whether the page is kept for visits without a network
 * @property {Scan | null} scan
 * @property {Plan | null} plan
 * @property {number | null} windowMs the time of a window of this model on this device, from earlier runs
 * @property {Job | null} job
 * @property {Result | null} result
 * @property {Result | null} kept the result before, of another scan or model, until the next run
 * @property {Comparison | null} comparison
 * @property {string | null} reference name of the labels that are drawn as the reference
 * @property {number | null} alone the label that is shown alone
 * @property {Record<number, number>} opacities of single labels, where they are not 1
 * @property {{text: string, kind: 'error' | 'note'} | null} message
 * @property {{mm: number[], value: number | undefined, label: number, uncertainty?: number} | null} place what the crosshair is on
 * @property {boolean} dropping whether files are held over the page
 * @property {string} overlap '' for the model's own
 * @property {boolean} uncertainty whether runs make a map of it
 * @property {string | null} viewerFault why the viewer did not start
 * @property {View} view
 */

/** @type {State} */
export const INITIAL = {
  support: null, models: [], model: null, pending: null, offline: false, scan: null, plan: null, windowMs: null, job: null, result: null, kept: null, comparison: null,
  reference: null, alone: null, opacities: {}, message: null, place: null, dropping: false, overlap: '', uncertainty: false, viewerFault: null,
  view: {
    layout: 'all', large: 'axial', radiological: true, crosshair: true, outline: false, scanOpacity: 1, labelOpacity: 0.6, labels: true, uncertainty: true,
    solid: 'surfaces', tool: 'crosshair', brush: 3, pen: 0, undoable: false, window: null, zoom: 1, keys: true,
  },
};

/**
 * What the page is at: it follows from what there is, so that no two of these can be true.
 * @param {State} state
 * @returns {Phase}
 */
export function phaseOf({ support, job, result, plan }) {
  if (!support) return 'starting';
  if (job) {
    if (job.progress?.phase === 'compile') return 'compiling';
    return job.kind === 'run' ? 'running' : 'opening';
  }
  if (result) return 'result';
  return plan ? 'ready' : 'idle';
}

/** Holds the state and tells of changes. */
export class Store {
  /** @type {State} */
  #state;
  /** @type {Set<(state: State, before: State) => void>} */
  #listeners = new Set();

  /** @param {State} [initial] */
  constructor(initial = INITIAL) {
    this.#state = initial;
  }

  get state() {
    return this.#state;
  }

  /** @param {Partial<State>} changes */
  set(changes) {
    const before = this.#state;
    this.#state = { ...before, ...changes };
    for (const listener of this.#listeners) listener(this.#state, before);
  }

  /** @param {Partial<View>} changes */
  view(changes) {
    this.set({ view: { ...this.#state.view, ...changes } });
  }

  /** @param {(state: State, before: State) => void} listener */
  listen(listener) {
    this.#listeners.add(listener);
  }
}
