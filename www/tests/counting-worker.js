// The package's worker on a GPU whose buffers are counted: `count` on the channel is answered with what is alive.
let buffers = 0;
let bytes = 0;
const alive = new Map();

const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  buffers += 1;
  bytes += descriptor.size;
  alive.set(buffer, descriptor.size);
  return buffer;
};
const { destroy } = GPUBuffer.prototype;
GPUBuffer.prototype.destroy = function () {
  if (alive.has(this)) {
    buffers -= 1;
    bytes -= alive.get(this);
    alive.delete(this);
  }
  return destroy.call(this);
};

const channel = new BroadcastChannel('gpu');
channel.addEventListener('message', ({ data }) => {
  if (data === 'count') channel.postMessage({ buffers, bytes });
});

import '/unetr-wgpu/worker.js';
