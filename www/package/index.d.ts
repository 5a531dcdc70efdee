/** UNETR in WebGPU: 3-D medical image segmentation in a browser tab. Research use only, not a medical device. */

/**
 * - `no-webgpu`: no WebGPU, no adapter, or no device
 * - `out-of-memory`: the GPU or the tab has not the memory
 * - `device-lost`: the GPU was reset or dropped work; the next call starts anew
 * - `bad-input`: the scan or an option
 * - `bad-model`: the model package
 * - `checksum`: the model is not the file it should be
 * - `aborted`: stopped by a signal or by `dispose()`; the error's name is `AbortError`
 * - `network`: the download failed
 * - `internal`: a fault of this package or of the driver; the next call starts anew
 */
export type ErrorCode =
  | 'no-webgpu' | 'out-of-memory' | 'device-lost' | 'bad-input' | 'bad-model' | 'checksum' | 'aborted' | 'network' | 'internal';

export class UnetrError extends Error {
  readonly code: ErrorCode;
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
  phase: 'download' | 'compile' | 'preprocess' | 'infer' | 'postprocess' | 'selftest';
  /** Bytes, windows or kernels. */
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
  onProgress?: (progress: Progress) => void;
}

export interface AssetOptions {
  /** Folder that holds this package's files, where a bundler does not find the worker by itself. */
  assetPath?: string | URL;
  /** Makes the worker, where neither suits: it must run this package's `worker.js` as a module. */
  worker?: () => Worker;
}

export interface SegmenterOptions extends RunOptions, AssetOptions {
  /** A model package: where it is, or the file itself. */
  model: string | URL | Blob | ArrayBuffer | ArrayBufferView;
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

/** One NIfTI file, one per channel in the model's order (a `.hdr` with its `.img`), or plain voxels. */
export type Scan = Blob | ArrayBuffer | Uint8Array | (Blob | ArrayBuffer | Uint8Array)[] | Volume;

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
  modelDims: [number, number, number];
  modelSpacing: [number, number, number];
  /** GPU memory in bytes. */
  memory: { total: number; weights: number; network: number; stitching: number };
  warnings: string[];
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

export class SegmentationResult {
  /** One byte per voxel of the scan's own grid, `(X, Y, Z)`, Z contiguous. */
  readonly labels: Uint8Array<ArrayBuffer>;
  readonly dims: [number, number, number];
  readonly affine: Affine;
  readonly statistics: LabelStatistics[];
  readonly labelTable: Label[];
  readonly plan: Plan;
  readonly warnings: string[];
  readonly device: DeviceReport;
  readonly timings: { preprocessMs: number; inferMs: number; postprocessMs: number; totalMs: number };
  /** Model, inputs, geometry, settings and device, as the command line records them. */
  readonly provenance: Record<string, unknown>;
  /** The labels as a `.nii.gz` file with names, colours and provenance. */
  toNifti(): Uint8Array<ArrayBuffer>;
  statisticsCsv(): string;
  statisticsJson(): string;
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
    bytes: number;
    from: 'given' | 'network' | 'opfs' | 'cache' | 'memory';
    [key: string]: unknown;
  };
  readonly labelTable: Label[];
  readonly device: DeviceReport;
  /** Windows and memory of a scan, before anything is computed. */
  plan(scan: Scan, options?: { overlap?: number; signal?: AbortSignal }): Promise<Plan>;
  /** Requests are answered one after the other. A stopped run ends within one window. */
  segment(scan: Scan, options?: RunOptions & { overlap?: number }): Promise<SegmentationResult>;
  /** Ends the worker and frees the GPU's memory. */
  dispose(): void;
}

export function createSegmenter(options: SegmenterOptions): Promise<Segmenter>;

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
  kept: 'opfs' | 'cache';
}

export function listModels(): Promise<KeptModel[]>;
/** Deletes the model of one URL, or all. */
export function clearModels(url?: string | URL): Promise<void>;
