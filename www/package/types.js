// The shapes of what this package takes and gives, for `index.js` to publish. What one module defines is described there.

/** @import { SegmentationResult } from './result.js' */

/**
 * @typedef {object} Progress
 * @property {'download' | 'preprocess' | 'compile' | 'measure' | 'infer' | 'postprocess' | 'selftest'} phase
 *   `compile` ticks once for each kernel that the device does not have yet, and is left out where it has all.
 * @property {number} done Bytes, kernels or windows.
 * @property {number} total 0 where it is not known.
 * @property {number} fraction `done / total` of this phase.
 * @property {number | null} etaMs Time left in this phase, once its pace is known.
 */

/**
 * @typedef {object} RunOptions
 * @property {AbortSignal} [signal]
 * @property {(progress: Progress) => void} [onProgress] One that throws is reported on the console, once, and not called again.
 */

/**
 * @typedef {object} AssetOptions
 * @property {string | URL} [assetPath] Folder that holds this package's files, where a bundler does not find the worker by itself.
 * @property {() => Worker} [worker]
 *   Makes the worker, where neither suits: it must run this package's `worker.js` as a module. Models that are given the same
 *   function share one worker.
 */

/**
 * Where a file is, or the file itself: a package, a PyTorch checkpoint, or a zip of several files that are a model together
 * (an nnU-Net results folder, a MONAI bundle). Or these files, each under its path, or as a folder that was chosen or
 * dropped gives them. No code in any of them ever runs.
 * @typedef {string | URL | Blob | ArrayBuffer | ArrayBufferView | File[] | Record<string, Blob | ArrayBuffer | ArrayBufferView>} ModelSource
 */

/**
 * @typedef {object} CheckpointOptions
 * @property {Record<string, unknown> | string} [package]
 *   For what is no package yet (a checkpoint, a state dict, a folder of another program): any of the package's fields, as an
 *   object or JSON text.
 * @property {string} [prefix] For a checkpoint that holds several networks: the prefix of the one's names.
 * @property {string} [sha256] The file's SHA-256: anything else is refused. Not for several files.
 */

/**
 * @typedef {object} ModelOptions
 * @property {ModelSource} model
 * @property {'f32' | 'f16'} [precision] How the weights are kept on the GPU; arithmetic is in 32 bits. Default `f16` where they take more than 100 MB in 32 bits, else `f32`.
 * @property {'auto' | 'opfs' | 'cache' | 'memory' | 'none' | false} [cache]
 *   Where downloads are kept. `auto` (default): private file system, else Cache API, else memory.
 * @property {'probabilities' | 'labels'} [resample]
 *   Interpolate class probabilities (default) or labels on the way back to the scan's grid.
 */

/**
 * @typedef {object} DeviceOptions
 * @property {GPUDevice} [device]
 *   The page's own device and queue, in place of one that is opened in a worker. The module then works in the page, which stands still while
 *   it prepares a scan and finishes labels; memory of the module stays until the page is left. What the device was not asked for
 *   when it was made (limits, `shader-f16`) is not used.
 */

/** @typedef {ModelOptions & CheckpointOptions & RunOptions & AssetOptions & DeviceOptions} SegmenterOptions */
/** @typedef {CheckpointOptions & RunOptions & AssetOptions} ImportOptions */

/** @typedef {[number[], number[], number[], number[]]} Affine Voxel index (i, j, k, 1) to mm, RAS+, row by row. */

/**
 * @typedef {object} Volume
 * @property {Float32Array | ArrayLike<number>} data `(C, X, Y, Z)`, Z contiguous; X Y Z are NIfTI's i j k.
 * @property {[number, number, number]} dims
 * @property {number} [channels] Default 1.
 * @property {'z' | 'x'} [contiguous] The axis that runs fastest in `data`. Default `z`; viewers keep volumes with `x`: `(C, Z, Y, X)`.
 * @property {number} [slope] What `data` is multiplied by. Default 1.
 * @property {number} [intercept] What is added then. Default 0.
 * @property {Affine} affine
 */

/**
 * One NIfTI file, one per channel (a `.hdr` with its `.img`), the files of a DICOM series, or plain voxels. Files whose
 * names each hold one channel's name (T1w, FLAIR, ...) are put into the model's order; others are taken in the order given.
 * `plan.warnings` tells which file became which channel where files were moved or their names do not tell; what has no name,
 * and what `series` or `acquisition` chose, are the channels in that order, and nothing is told.
 * @typedef {Blob | ArrayBuffer | Uint8Array | (Blob | ArrayBuffer | Uint8Array)[] | Volume} Scan
 */

/**
 * @typedef {object} SeriesOptions
 * @property {string | string[]} [series]
 *   Where DICOM files hold several series: the Series Instance UID of the one to take, or of one per channel.
 * @property {number | number[]} [acquisition]
 *   Where a DICOM series holds several acquisitions (echoes, phases, b-values): the number, from 1, of the one to take in the
 *   list that the error shows; or several of one series, one per channel, or one for each series.
 */

/**
 * @typedef {object} Label
 * @property {number} value
 * @property {string} name
 * @property {string} color `#rrggbb`
 */

/**
 * @typedef {object} DeviceReport
 * @property {string} name
 * @property {string} vendor
 * @property {string} architecture
 * @property {string} backend
 * @property {boolean} software
 * @property {boolean} shaderF16
 * @property {boolean} timestamps
 * @property {import('./support.js').Limits} limits What the device was opened with.
 */

/**
 * @typedef {object} Plan
 * @property {number} windows
 * @property {[number, number, number]} roi
 * @property {[number, number, number]} scanDims
 * @property {[number, number, number]} scanSpacing
 * @property {Affine} scanAffine
 * @property {[number, number, number]} modelDims
 * @property {[number, number, number]} modelSpacing
 * @property {{ total: number, weights: number, network: number, stitching: number }} memory GPU memory in bytes.
 * @property {number | null} windowMs Time of one window on this device, by measurement; null where it was not measured.
 * @property {number | null} estimatedMs Time of all windows at that pace.
 * @property {string[]} warnings
 * @property {string[]} doubts Those of the warnings that say how the scan differs from the model's training scans.
 */

/**
 * @typedef {object} IntensityStatistics
 * @property {string} channel
 * @property {number | null} mean
 * @property {number | null} std
 * @property {number | null} min
 * @property {number | null} max
 * @property {number | null} median
 * @property {number} non_finite
 */

/**
 * @typedef {object} LabelStatistics
 * @property {string} name
 * @property {number} value
 * @property {number} voxels
 * @property {number} volume_ml
 * @property {[number, number, number] | null} centroid_mm
 * @property {{ min: [number, number, number], max: [number, number, number] } | null} bounding_box
 * @property {boolean} touches_border
 * @property {IntensityStatistics[]} intensity
 * @property {number} [uncertainty] Mean over its voxels, from 0 to 1, where it was asked for and there are any.
 */

/**
 * A box of the scan whose labels no later window changes: `(X, Y, Z)`, Z contiguous.
 * @typedef {object} LabelBox
 * @property {[number, number, number]} begin
 * @property {[number, number, number]} extent
 * @property {Uint8Array<ArrayBuffer>} labels
 */

/**
 * @typedef {object} LabelComparison
 * @property {number} value
 * @property {string} name
 * @property {number | null} dice Null where it is not defined; `presence` says why.
 * @property {number | null} hd95_mm
 * @property {number | null} assd_mm
 * @property {number} prediction_ml
 * @property {number} truth_ml
 * @property {'both' | 'missed' | 'false alarm' | 'neither'} presence
 */

/**
 * What a result has without a run.
 * @typedef {Omit<SegmentationResult, 'plan' | 'doubts' | 'device' | 'windowMs' | 'recoveries' | 'wasmBytes' | 'timings'>} AmendedResult
 */

/**
 * @typedef {object} Benchmark
 * @property {number} windowMs Lower median of the repeats.
 * @property {number[]} repeatsMs
 * @property {number} peakBytes
 * @property {number} copyGbs What the device does at best: copies in GB/s read and written.
 * @property {number} fmaGflops What the device does at best: multiply-adds in GFLOP/s.
 * @property {{ name: string, op: string, ms: number | null, gflop: number, gb: number }[]} nodes
 *   Every node of the network; `ms` is null where the device has no timestamps.
 * @property {DeviceReport} device
 */

/**
 * Lengths in mm along the patient's axes: right to left, front to back, head to foot.
 * @typedef {object} Lengths
 * @property {[number, number, number]} min
 * @property {[number, number, number]} max
 */

/**
 * @typedef {object} TrainedOn
 * @property {number} cases
 * @property {string | null} modality DICOM's code.
 * @property {Lengths} field_of_view_mm
 * @property {Lengths} spacing_mm
 * @property {{ value: number, min_ml: number, max_ml: number }[]} volumes Least and largest volume in a training scan.
 */

/**
 * The package's metadata, and what is known of its file.
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {string} version
 * @property {string} licence
 * @property {string} citation
 * @property {string} sha256
 * @property {number} parameters
 * @property {[string, string][]} facts Every setting in words, the neutral ones too: pairs of a name and its value.
 * @property {number} bytes
 * @property {'given' | 'network' | 'opfs' | 'cache' | 'memory'} from
 * @property {TrainedOn} [trained_on] What the training scans were like, if the package says so.
 * @property {string[]} [not_for] What the model must not be used for, a phrase each.
 * @property {string} [card] The model's card for people, Markdown.
 * @property {boolean} imported Whether a package was made of a checkpoint or of another program's files.
 * @property {string[]} warnings If so, what was assumed.
 */

/** @typedef {ModelFacts & { [key: string]: unknown }} ModelDescription */

/**
 * @typedef {object} KernelReport
 * @property {string} kernel
 * @property {number} cases
 * @property {number | null} worstNmse Normalised mean squared error against the double-precision twin; null if not finite.
 * @property {number} tolerance
 * @property {boolean} ok
 * @property {string[]} failures
 */

export {};
