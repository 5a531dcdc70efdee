// The page's own GPUDevice: no worker, no second device, the same labels, and the device goes on for the page.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pages } from './page.mjs';
import { tinyPackage } from './tiny.mjs';

const tab = pages({ '/tiny.safetensors': tinyPackage().bytes });

test('a model on the device of the page', async () => {
  const got = await tab.run(async ({ createSegmenter, bytes, fail }, { MODEL, SCAN }) => {
    // The same labels as in the package's own worker, on its own device.
    const usual = await createSegmenter({ model: MODEL });
    const known = await usual.segment(await bytes(SCAN));
    usual.dispose();
    let workers = 0;
    let devices = 0;
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        workers += 1;
      }
    };
    const adapter = await navigator.gpu.requestAdapter();
    // As a viewer would make it: nothing is asked for beyond the default.
    const device = await adapter.requestDevice({ label: 'the page' });
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = function (...given) {
      devices += 1;
      return requestDevice.apply(this, given);
    };
    const own = () => 'mine';
    device.onuncapturederror = own;
    const wrong = await fail(createSegmenter({ model: MODEL, device: {} }));
    const file = await bytes(SCAN);
    const segmenter = await createSegmenter({ model: MODEL, device });
    const phases = new Set();
    const boxes = [];
    const result = await segmenter.segment(file, { onProgress: ({ phase }) => phases.add(phase), onLabels: ({ extent }) => boxes.push(extent) });
    // A second model shares it; another device has to wait for its turn.
    const second = await createSegmenter({ model: MODEL, device, precision: 'f16' });
    const other = await adapter.constructor.prototype.requestDevice.call(await navigator.gpu.requestAdapter());
    const refused = await fail(createSegmenter({ model: MODEL, device: other }));
    second.dispose();
    const stop = new AbortController();
    const stopped = await fail(segmenter.segment(file, { signal: stop.signal, onProgress: ({ phase }) => { if (phase === 'infer') stop.abort(); } }));

    // The labels where the page can compute with them: as they are copied by the page's own device and queue.
    const labelled = result.toBuffer(device);
    const copy = device.createBuffer({ size: labelled.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(labelled, 0, copy, 0, labelled.size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const read = new Uint8Array(copy.getMappedRange()).slice(0, result.labels.length);
    const kept = device.onuncapturederror === own;
    segmenter.dispose();
    const before = devices;
    device.destroy();
    await device.lost;
    const lost = await createSegmenter({ model: MODEL, device }).then((s) => fail(s.segment(file)), (e) => ({ code: e.code }));
    return {
      wrong, phases: [...phases], boxes: boxes.length, counts: result.statistics.map((s) => s.voxels), differ: result.labels.reduce((n, v, i) => n + Number(v !== known.labels[i]), 0), read: read.every((v, i) => v === result.labels[i]), refused, stopped, kept, workers, devices: before,
      lost: lost?.code, limit: result.device.limits.maxStorageBufferBindingSize,
    };
  }, { MODEL: '/tiny.safetensors' }, { noise: true });
  assert.deepEqual([got.wrong.code, got.wrong.message], ['bad-input', 'options.device must be a GPUDevice of this page']);
  // One device more was asked for, by this test.
  assert.deepEqual([got.workers, got.devices], [0, 1]);
  assert.equal(got.limit, 128 * 1024 * 1024, 'the default');
  assert.ok(got.phases.includes('compile') && got.phases.includes('infer'));
  assert.ok(got.boxes > 0);
  assert.ok(got.counts.every((n) => n > 1000), String(got.counts));
  // Another device may have kernels that add up in another order.
  assert.ok(got.differ <= 12, `${got.differ} labels differ`);
  assert.ok(got.read);
  assert.match(got.refused.message, /another GPUDevice of this page are in use/);
  assert.deepEqual([got.stopped.code, got.lost, got.kept], ['aborted', 'device-lost', true]);
});
