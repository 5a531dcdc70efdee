/** UNETR in WebGPU: 3-D medical image segmentation in a browser tab. Research use only, not a medical device. */

/**
 * - `no-webgpu`: no WebGPU, no adapter, or no device
 * - `out-of-memory`: the GPU or the tab has not the memory
 * - `device-lost`: the GPU was reset or dropped work; the next call starts anew
 * - `bad-input`: the scan or an option
 * - `bad-model`: the model package
 * - `checksum`: the model is not the file it should be
 * - `aborted`: stopped by a signal or by `dispose()`; the error's name is `AbortError`
 * - `network`: the download failed, or the address gives a web page
 * - `internal`: a fault of this package or of the driver; the next call starts anew
 */
export type ErrorCode =
  | 'no-webgpu' | 'out-of-memory' | 'device-lost' | 'bad-input' | 'bad-model' | 'checksum' | 'aborted' | 'network' | 'internal';

export class UnetrError extends Error {
  readonly code: ErrorCode;
  /** For a checkpoint that does not tell all: what `package` must give. */
  readonly fields?: { field: string; hint: string }[];
}

export interface Limits {
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
  maxStorageBuffersPerShaderStage: number;
  maxComputeWorkgroupStorageSize: number;
  maxComputeInvocationsPerWorkgroup: number;
  maxComputeWorkgroupsPerDimension: number;
}

export interface Support {
  webgpu: boolean;
  /** 16-bit floats in shaders; not needed. */
  shaderF16: boolean;
  /** The adapter is a CPU that plays a GPU: right, but slow. */
  software: boolean;
  adapter: { name: string; vendor: string; architecture: string; device: string; description: string } | null;
  /** What the adapter allows. */
  limits: Limits | null;
  /** Why not, in words for the user. */
  reason: string | null;
}

/** Asks the browser for an adapter; loads nothing and never throws. */
export function checkSupport(): Promise<Support>;

export interface Progress {
  /** `compile` ticks once for each kernel that the device does not have yet, and is left out where it has all. */
  phase: 'download' | 'preprocess' | 'compile' | 'measure' | 'infer' | 'postprocess' | 'selftest';
  /** Bytes, kernels or windows. */
  done: number;
  /** 0 where it is not known. */
  total: number;
  /** `done / total` of this phase. */
  fraction: number;
  /** Time left in this phase, once its pace is known. */
  etaMs: number | null;
}

export interface RunOptions {
  signal?: AbortSignal;
  /** One that throws is reported on the console, once, and not called again. */
  onProgress?: (progress: Progress) => void;
}

export interface AssetOptions {
  /** Folder that holds this package's files, where a bundler does not find the worker by itself. */
  assetPath?: string | URL;
  /**
   * Makes the worker, where neither suits: it must run this package's `worker.js` as a module. Models that are given the same
   * function share one worker.
   */
  worker?: () => Worker;
}

export interface SegmenterOptions extends RunOptions, AssetOptions {
  /** A model package or a PyTorch checkpoint: where it is, or the file itself. No code in a checkpoint ever runs. */
  model: string | URL | Blob | ArrayBuffer | ArrayBufferView;
  /** For a checkpoint (`.pt`, `.pth` or a state dict): any of the package's fields, as an object or JSON text. */
  package?: Record<string, unknown> | string;
  /** For a checkpoint that holds several networks: the prefix of the one's names. */
  prefix?: string;
  /** How the weights are kept on the GPU; arithmetic is in 32 bits. Default `f32`. */
  precision?: 'f32' | 'f16';
  /** Where downloads are kept. `auto` (default): private file system, else Cache API, else memory. */
  cache?: 'auto' | 'opfs' | 'cache' | 'memory' | 'none' | false;
  /** The file's SHA-256: anything else is refused. */
  sha256?: string;
  /** Interpolate class probabilities (default) or labels on the way back to the scan's grid. */
  resample?: 'probabilities' | 'labels';
}

/** Voxel index (i, j, k, 1) to mm, RAS+, row by row. */
export type Affine = [number[], number[], number[], number[]];

export interface Volume {
  /** `(C, X, Y, Z)`, Z contiguous; X Y Z are NIfTI's i j k. */
  data: Float32Array | ArrayLike<number>;
  dims: [number, number, number];
  /** Default 1. */
  channels?: number;
  affine: Affine;
}

/**
 * One NIfTI file, one per channel (a `.hdr` with its `.img`), the files of a DICOM series, or plain voxels. Files whose
 * names each hold one channel's name (T1w, FLAIR, ...) are put into the model's order; others are taken in the order given.
 * `plan.warnings` tells which file became which channel where files were moved or their names do not tell; what has no name,
 * and what `series` or `acquisition` chose, are the channels in that order, and nothing is told.
 */
export type Scan = Blob | ArrayBuffer | Uint8Array | (Blob | ArrayBuffer | Uint8Array)[] | Volume;

export interface SeriesOptions {
  /** Where DICOM files hold several series: the Series Instance UID of the one to take, or of one per channel. */
  series?: string | string[];
  /**
   * Where a DICOM series holds several acquisitions (echoes, phases, b-values): the number, from 1, of the one to take in the
   * list that the error shows; or several of one series, one per channel, or one for each series.
   */
  acquisition?: number | number[];
}

export interface Label {
  value: number;
  name: string;
  /** `#rrggbb` */
  color: string;
}

export interface DeviceReport {
  name: string;
  vendor: string;
  architecture: string;
  backend: string;
  software: boolean;
  shaderF16: boolean;
  timestamps: boolean;
  /** What the device was opened with. */
  limits: Limits;
}

export interface Plan {
  windows: number;
  roi: [number, number, number];
  scanDims: [number, number, number];
  scanSpacing: [number, number, number];
  scanAffine: Affine;
  modelDims: [number, number, number];
  modelSpacing: [number, number, number];
  /** GPU memory in bytes. */
  memory: { total: number; weights: number; network: number; stitching: number };
  /** Time of one window on this device, by measurement; null where it was not measured. */
  windowMs: number | null;
  /** Time of all windows at that pace. */
  estimatedMs: number | null;
  warnings: string[];
  /** Those of the warnings that say how the scan differs from the model's training scans. */
  doubts: string[];
}

export interface LabelStatistics {
  name: string;
  value: number;
  voxels: number;
  volume_ml: number;
  centroid_mm: [number, number, number] | null;
  bounding_box: { min: [number, number, number]; max: [number, number, number] } | null;
  touches_border: boolean;
  intensity: {
    channel: string;
    mean: number | null;
    std: number | null;
    min: number | null;
    max: number | null;
    median: number | null;
    non_finite: number;
  }[];
}

/** A box of the scan whose labels no later window changes: `(X, Y, Z)`, Z contiguous. */
export interface LabelBox {
  begin: [number, number, number];
  extent: [number, number, number];
  labels: Uint8Array<ArrayBuffer>;
}

export interface LabelComparison {
  value: number;
  name: string;
  /** Null where it is not defined; `presence` says why. */
  dice: number | null;
  hd95_mm: number | null;
  assd_mm: number | null;
  prediction_ml: number;
  truth_ml: number;
  presence: 'both' | 'missed' | 'false alarm' | 'neither';
}

export class SegmentationResult {
  /** One byte per voxel of the scan's own grid, `(X, Y, Z)`, Z contiguous. */
  readonly labels: Uint8Array<ArrayBuffer>;
  readonly dims: [number, number, number];
  readonly affine: Affine;
  readonly statistics: LabelStatistics[];
  readonly labelTable: Label[];
  readonly plan: Plan;
  readonly warnings: string[];
  /** Those of the warnings that say how scan and labels differ from the model's training scans. */
  readonly doubts: string[];
  readonly device: DeviceReport;
  /** Time of one window of this run, without the first if there were several. */
  readonly windowMs: number;
  /** How often the device was lost and the run went on, on a new one. */
  readonly recoveries: number;
  /** Size of the module's memory. */
  readonly wasmBytes: number;
  readonly timings: { preprocessMs: number; compileMs: number; inferMs: number; postprocessMs: number; totalMs: number };
  /** Model, inputs, geometry, settings and device, as the command line records them. */
  readonly provenance: Record<string, unknown>;
  /** The labels as a `.nii.gz` file with names, colours and provenance. */
  toNifti(): Uint8Array<ArrayBuffer>;
  statisticsCsv(): string;
  statisticsJson(): string;
}

/** What a result has without a run. */
export type AmendedResult = Pick<
  SegmentationResult,
  'labels' | 'dims' | 'affine' | 'statistics' | 'labelTable' | 'warnings' | 'provenance' | 'toNifti' | 'statisticsCsv' | 'statisticsJson'
>;

export interface Benchmark {
  /** Lower median of the repeats. */
  windowMs: number;
  repeatsMs: number[];
  peakBytes: number;
  /** What the device does at best: copies in GB/s read and written, multiply-adds in GFLOP/s. */
  copyGbs: number;
  fmaGflops: number;
  /** Every node of the network; `ms` is null where the device has no timestamps. */
  nodes: { name: string; op: string; ms: number | null; gflop: number; gb: number }[];
  device: DeviceReport;
}

/** Lengths in mm along the patient's axes: right to left, front to back, head to foot. */
export interface Lengths {
  min: [number, number, number];
  max: [number, number, number];
}

export interface TrainedOn {
  cases: number;
  /** DICOM's code. */
  modality: string | null;
  field_of_view_mm: Lengths;
  spacing_mm: Lengths;
  /** Least and largest volume in a training scan. */
  volumes: { value: number; min_ml: number; max_ml: number }[];
}

export interface Segmenter {
  /** The package's metadata, and what is known of its file. */
  readonly model: {
    name: string;
    version: string;
    licence: string;
    citation: string;
    sha256: string;
    parameters: number;
    /** Every setting in words, the neutral ones too: pairs of a name and its value. */
    facts: [string, string][];
    bytes: number;
    from: 'given' | 'network' | 'opfs' | 'cache' | 'memory';
    /** What the training scans were like, if the package says so. */
    trained_on?: TrainedOn;
    /** What the model must not be used for, a phrase each. */
    not_for?: string[];
    /** The model's card for people, Markdown. */
    card?: string;
    /** For a checkpoint: what was assumed. */
    warnings: string[];
    [key: string]: unknown;
  };
  readonly labelTable: Label[];
  readonly device: DeviceReport;
  /**
   * Compiles the kernels that the device does not have yet, beside other requests and without holding up what the page draws.
   * `segment` does so where it was not done before. Kernels serve every model of the page that needs the same.
   */
  compile(options?: RunOptions): Promise<void>;
  /** Windows and memory of a scan. `measure` runs two windows of this model, once, to tell the time they take. Default false. */
  plan(scan: Scan, options?: RunOptions & SeriesOptions & { overlap?: number; measure?: boolean }): Promise<Plan>;
  /**
   * Requests are answered one after the other. A stopped run ends within one window. A run whose device is lost goes on,
   * on a new one, behind the last window that was saved. `onLabels` hears of parts of the result, on the scan's grid, as they become
   * final; of none with `resample: 'labels'` and for scans that lie oblique to the model's axes.
   */
  segment(
    scan: Scan, options?: RunOptions & SeriesOptions & { overlap?: number; onLabels?: (part: LabelBox) => void },
  ): Promise<SegmentationResult>;
  /**
   * Labels that were changed by hand, `(X, Y, Z)` with Z contiguous on the grid of their scan, with the files, statistics and
   * record of a result. The record says that they were corrected, unless `corrected` is false.
   */
  amend(
    scan: Scan, labels: Uint8Array, options?: SeriesOptions & { overlap?: number; corrected?: boolean; signal?: AbortSignal },
  ): Promise<AmendedResult>;
  /** A result against a label file of an expert on the same grid, by MONAI's measures. */
  compare(
    result: Pick<SegmentationResult, 'labels' | 'dims' | 'affine'>, reference: Blob | ArrayBuffer | Uint8Array, options?: { signal?: AbortSignal },
  ): Promise<{ labels: LabelComparison[]; warnings: string[] }>;
  /** Times windows of this model's network with noise as input, as `unetr bench` does. */
  benchmark(options?: { repeats?: number; signal?: AbortSignal }): Promise<Benchmark>;
  /** Frees the model's memory. The worker, shared by all models of the page, ends a minute after the last of them. */
  dispose(): void;
}

export function createSegmenter(options: SegmenterOptions): Promise<Segmenter>;

export interface ImportOptions extends RunOptions, AssetOptions {
  package?: Record<string, unknown> | string;
  prefix?: string;
  sha256?: string;
}

/** Makes a model package of a PyTorch checkpoint or a state dict, to be kept; `warnings` say what was assumed. */
export function importCheckpoint(
  checkpoint: string | URL | Blob | ArrayBuffer | ArrayBufferView, options?: ImportOptions,
): Promise<{ model: Blob; warnings: string[] }>;

/** A scan as one unpacked NIfTI file on its own grid, for viewers that do not read what it came as. Needs no GPU. */
export function scanToNifti(
  scan: Scan, options?: SeriesOptions & AssetOptions & { signal?: AbortSignal },
): Promise<{ nifti: Uint8Array<ArrayBuffer>; warnings: string[] }>;

export interface KernelReport {
  kernel: string;
  cases: number;
  /** Normalised mean squared error against the double-precision twin; null if not finite. */
  worstNmse: number | null;
  tolerance: number;
  ok: boolean;
  failures: string[];
}

/** Every kernel against double precision, on this adapter. */
export function selfTest(options?: RunOptions & AssetOptions): Promise<{ ok: boolean; kernels: KernelReport[]; device: DeviceReport }>;

export interface KeptModel {
  url: string;
  bytes: number;
  sha256: string | null;
  /** False for a download that was broken off and will go on. */
  complete: boolean;
  /** `memory`: until this page is left. */
  kept: 'opfs' | 'cache' | 'memory';
}

export function listModels(): Promise<KeptModel[]>;
/** Deletes the model of one URL, or all. */
export function clearModels(url?: string | URL): Promise<void>;
