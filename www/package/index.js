/** UNETR in WebGPU: 3-D medical image segmentation in a browser tab. Research use only, not a medical device. */
import { Client } from './client.js';
import { UnetrError } from './errors.js';
import { checked } from './options.js';
import { Segmenter as Loaded } from './segmenter.js';
import { checkSource, modelSource, packageText, scanInput } from './sources.js';
import { checkSupport } from './support.js';
import { workerFactory } from './workers.js';

export { UnetrError } from './errors.js';
export { SegmentationResult } from './result.js';
export { clearModels, listModels } from './store.js';
export { checkSupport } from './support.js';
export * from './types.js';

/**
 * @import { AssetOptions, DeviceReport, ImportOptions, KernelReport, ModelSource, RunOptions, Scan, SegmenterOptions, SeriesOptions } from './types.js'
 *
 * @typedef {import('./errors.js').ErrorCode} ErrorCode
 * @typedef {import('./segmenter.js').Segmenter} Segmenter
 * @typedef {import('./store.js').KeptModel} KeptModel
 * @typedef {import('./support.js').Limits} Limits
 * @typedef {import('./support.js').Support} Support
 */

async function requireSupport() {
  const support = await checkSupport();
  if (!support.webgpu) throw new UnetrError('no-webgpu', support.reason ?? 'there is no WebGPU here');
}

/**
 * A model, ready to segment.
 * @param {SegmenterOptions} options
 * @returns {Promise<Segmenter>}
 */
export async function createSegmenter(options) {
  const { signal, onProgress, assetPath, worker, device, ...rest } = checked('createSegmenter', options);
  await requireSupport();
  checkSource(modelSource(rest.model), rest);
  const { key, make } = workerFactory({ assetPath, worker, device });
  const segmenter = new Loaded(Client.share(key, make), rest);
  try {
    await segmenter.load({ signal, onProgress });
    return segmenter;
  } catch (error) {
    segmenter.dispose();
    throw error;
  }
}

/**
 * A worker for one request.
 * @param {AssetOptions} assets
 */
function alone(assets) {
  const client = new Client(workerFactory(assets).make);
  client.start();
  return client;
}

/**
 * Makes a model package of a PyTorch checkpoint, a state dict, an nnU-Net results folder or a MONAI bundle (the files or a zip
 * of them), to be kept; `warnings` say what was assumed. Where something is missing the error's `fields` say what `package`
 * must give.
 * @param {ModelSource} checkpoint
 * @param {ImportOptions} [options]
 * @returns {Promise<{ model: Blob, warnings: string[] }>}
 */
export async function importCheckpoint(checkpoint, options) {
  const { package: fields, prefix, sha256, signal, onProgress, ...assets } = checked('importCheckpoint', options);
  const source = modelSource(checkpoint);
  checkSource(source, { prefix, sha256 });
  const client = alone(assets);
  try {
    const request = { type: 'import', source, package: packageText(fields), prefix, sha256 };
    const { bytes, warnings } = await client.ask(request, { signal, onProgress });
    return { model: new Blob([bytes]), warnings };
  } finally {
    client.close(new UnetrError('aborted', 'the import is over'));
  }
}

/**
 * A scan as one unpacked NIfTI file on its own grid, for viewers that do not read what it came as. Needs no GPU.
 * @param {Scan} scan
 * @param {SeriesOptions & AssetOptions & { signal?: AbortSignal }} [options]
 * @returns {Promise<{ nifti: Uint8Array<ArrayBuffer>, warnings: string[] }>}
 */
export async function scanToNifti(scan, options) {
  const { series, acquisition, signal, ...assets } = checked('scanToNifti', options);
  const input = scanInput(scan, { series, acquisition });
  const client = alone(assets);
  try {
    return await client.ask({ type: 'nifti', input }, { signal });
  } finally {
    client.close(new UnetrError('aborted', 'the scan is read'));
  }
}

/**
 * Every kernel against double precision, on this adapter.
 * @param {RunOptions & AssetOptions} [options]
 * @returns {Promise<{ ok: boolean, kernels: KernelReport[], device: DeviceReport }>}
 */
export async function selfTest(options) {
  const { signal, onProgress, ...assets } = checked('selfTest', options);
  await requireSupport();
  const client = alone(assets);
  try {
    return await client.ask({ type: 'selfTest' }, { signal, onProgress });
  } finally {
    client.close(new UnetrError('aborted', 'the self-test is over'));
  }
}
