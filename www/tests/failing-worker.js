// The package's worker on a GPU that fails when told to: `lose` destroys the device, `throw` makes the next submission
// throw, `dead` loses every device as soon as it is given until `alive`.
let device;
let fail = false;
let dead = false;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...options) {
  device = await requestDevice.apply(this, options);
  if (dead) setTimeout(() => device.destroy(), 50);
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
  if (data === 'dead' || data === 'alive') dead = data === 'dead';
  if (data === 'dead') device.destroy();
});

// Patched before anything is asked of the GPU: that waits for the first message.
import '/unetr-wgpu/worker.js';
