import { reasonOf } from './errors.js';

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i;

/**
 * @typedef {object} Limits
 * @property {number} maxBufferSize
 * @property {number} maxStorageBufferBindingSize
 * @property {number} maxStorageBuffersPerShaderStage
 * @property {number} maxComputeWorkgroupStorageSize
 * @property {number} maxComputeInvocationsPerWorkgroup
 * @property {number} maxComputeWorkgroupsPerDimension
 *
 * @typedef {object} Adapter
 * @property {string} name
 * @property {string} vendor
 * @property {string} architecture
 * @property {string} device
 * @property {string} description
 *
 * @typedef {object} Support
 * @property {boolean} webgpu
 * @property {boolean} shaderF16 16-bit floats in shaders; not needed.
 * @property {boolean} software The adapter is a CPU that plays a GPU: right, but slow.
 * @property {Adapter | null} adapter
 * @property {Limits | null} limits What the adapter allows.
 * @property {string | null} reason Why not, in words for the user.
 */

const LIMITS = /** @type {const} */ ([
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupsPerDimension',
]);

/**
 * @param {string} reason
 * @returns {Support}
 */
function no(reason) {
  return { webgpu: false, shaderF16: false, software: false, adapter: null, limits: null, reason };
}

/**
 * What to do in a browser that has none.
 * @param {string} agent
 */
function withoutGpu(agent) {
  if (/firefox/i.test(agent)) {
    return 'WebGPU is off in this Firefox. Update it, or switch it on: open about:config and set dom.webgpu.enabled to true. Or use a current Chrome or Edge.';
  }
  if (/safari/i.test(agent) && !/chrom/i.test(agent)) return 'This Safari has no WebGPU. Update macOS or iOS (Safari 26 has it), or use a current Chrome or Edge.';
  return 'This browser has no WebGPU. Use a current Chrome, Edge, Firefox or Safari.';
}

/**
 * Asks the browser for an adapter; loads nothing and never throws.
 * @returns {Promise<Support>}
 */
export async function checkSupport() {
  if (globalThis.isSecureContext === false) {
    return no('WebGPU needs a secure page: open it over https, or from localhost.');
  }
  const gpu = globalThis.navigator?.gpu;
  if (!gpu && !globalThis.document && !('WorkerGlobalScope' in globalThis)) {
    return no('This is no browser, and there is no WebGPU here. Use this package in a page or a worker, and the program `unetr` elsewhere.');
  }
  if (!gpu) {
    return no(withoutGpu(globalThis.navigator?.userAgent ?? ''));
  }
  let adapter;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    return no(`The browser refused to give a GPU adapter: ${reasonOf(error)}`);
  }
  if (!adapter) {
    return no('This browser has WebGPU but found no usable GPU. Graphics acceleration may be switched off in its settings.');
  }
  return { webgpu: true, ...described(adapter), reason: null };
}

/**
 * What is known of an adapter, or of a device, which tells the same of the adapter that it is on.
 * @param {{ info?: GPUAdapterInfo, features: GPUSupportedFeatures, limits: GPUSupportedLimits, isFallbackAdapter?: boolean }} adapter
 */
export function described(adapter) {
  const { vendor = '', architecture = '', device = '', description = '' } = adapter.info ?? {};
  const info = { vendor, architecture, device, description };
  const fallback = /** @type {{ isFallbackAdapter?: boolean } | undefined} */ (adapter.info)?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
  return {
    shaderF16: adapter.features.has('shader-f16'),
    software: fallback || SOFTWARE.test(Object.values(info).join(' ')),
    adapter: { ...info, name: description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter' },
    limits: /** @type {Limits} */ (Object.fromEntries(LIMITS.map((key) => [key, adapter.limits[key]]))),
  };
}
