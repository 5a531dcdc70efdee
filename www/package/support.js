const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i;

const LIMITS = [
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupsPerDimension',
];

function no(reason) {
  return { webgpu: false, shaderF16: false, software: false, adapter: null, limits: null, reason };
}

/** What to do in a browser that has none. */
function withoutGpu(agent) {
  if (/firefox/i.test(agent)) {
    return 'WebGPU is off in this Firefox. Update it, or switch it on: open about:config and set dom.webgpu.enabled to true. Or use a current Chrome or Edge.';
  }
  if (/safari/i.test(agent) && !/chrom/i.test(agent)) return 'This Safari has no WebGPU. Update macOS or iOS (Safari 26 has it), or use a current Chrome or Edge.';
  return 'This browser has no WebGPU. Use a current Chrome, Edge, Firefox or Safari.';
}

/** Asks the browser for an adapter; loads nothing and never throws. */
export async function checkSupport() {
  if (globalThis.isSecureContext === false) {
    return no('WebGPU needs a secure page: open it over https, or from localhost.');
  }
  const gpu = globalThis.navigator?.gpu;
  if (!gpu && !globalThis.document && !globalThis.WorkerGlobalScope) {
    return no('This is no browser, and there is no WebGPU here. Use this package in a page or a worker, and the program `unetr` elsewhere.');
  }
  if (!gpu) {
    return no(withoutGpu(globalThis.navigator?.userAgent ?? ''));
  }
  let adapter;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  } catch (error) {
    return no(`The browser refused to give a GPU adapter: ${error.message}`);
  }
  if (!adapter) {
    return no('This browser has WebGPU but found no usable GPU. Graphics acceleration may be switched off in its settings.');
  }
  const { vendor = '', architecture = '', device = '', description = '' } = adapter.info ?? {};
  const info = { vendor, architecture, device, description };
  const fallback = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
  return {
    webgpu: true,
    shaderF16: adapter.features.has('shader-f16'),
    software: fallback || SOFTWARE.test(Object.values(info).join(' ')),
    adapter: { ...info, name: description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed adapter' },
    limits: Object.fromEntries(LIMITS.map((key) => [key, adapter.limits[key]])),
    reason: null,
  };
}
