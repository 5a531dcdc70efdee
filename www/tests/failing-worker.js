// The package's worker on a GPU that fails when told to: `lose` destroys the device, `throw` makes the next submission throw.
let device;
let fail = false;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...options) {
  device = await requestDevice.apply(this, options);
  return device;
};
const { submit } = GPUQueue.prototype;
GPUQueue.prototype.submit = function (...buffers) {
  if (fail) throw new Error('the driver is gone');
  return submit.apply(this, buffers);
};

new BroadcastChannel('gpu').addEventListener('message', ({ data }) => {
  if (data === 'lose') device.destroy();
  if (data === 'throw') fail = true;
});

// Patched before anything is asked of the GPU: that waits for the first message.
import '/unetr-wgpu/worker.js';
