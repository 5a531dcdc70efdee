// The package's worker on a GPU whose devices and compilations are counted: `count` on the channel is answered with them.
let devices = 0;
let waiting = 0;
const ahead = [];

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = function (...options) {
  devices += 1;
  return requestDevice.apply(this, options);
};
const { createComputePipeline, createComputePipelineAsync } = GPUDevice.prototype;
GPUDevice.prototype.createComputePipeline = function (descriptor) {
  waiting += 1;
  return createComputePipeline.call(this, descriptor);
};
GPUDevice.prototype.createComputePipelineAsync = function (descriptor) {
  ahead.push(descriptor.label);
  return createComputePipelineAsync.call(this, descriptor);
};

const channel = new BroadcastChannel('gpu');
channel.addEventListener('message', ({ data }) => {
  if (data === 'count') channel.postMessage({ devices, waiting, ahead });
});

import '/unetr-wgpu/worker.js';
