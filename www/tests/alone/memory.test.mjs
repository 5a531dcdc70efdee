// Fifty scans one after the other: neither the GPU's buffers nor the module's memory grow.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pages } from '../page.mjs';

const tab = pages();
const SCANS = 50;

test('fifty scans in a row leave nothing behind', async (t) => {
  const rows = await tab.run(async ({ createSegmenter, noise }, { url, SCANS }) => {
    const gpu = new BroadcastChannel('gpu');
    const count = () => new Promise((resolve) => {
      gpu.addEventListener('message', ({ data }) => resolve(data), { once: true });
      gpu.postMessage('count');
    });
    const worker = () => new Worker('/repo/www/tests/counting-worker.js', { type: 'module' });
    const model = { network: { img_size: [32, 16, 16], num_heads: 2 } };
    const segmenter = await createSegmenter({ model: url, package: model, worker });
    const rows = [];
    for (let i = 0; i < SCANS; i += 1) {
      // Sizes come and go, and so do runs that are stopped.
      const scan = noise([40 + (i % 5) * 8, 24, 20 + (i % 3) * 4]);
      if (i % 10 === 7) {
        const controller = new AbortController();
        const onProgress = ({ phase, done }) => { if (phase === 'infer' && done === 1) controller.abort(); };
        await segmenter.segment(scan, { signal: controller.signal, onProgress }).catch((e) => { if (e.code !== 'aborted') throw e; });
      }
      const result = await segmenter.segment(scan);
      rows.push({ ...(await count()), wasm: result.wasmBytes });
    }
    segmenter.dispose();
    return rows;
  }, { url: '/repo/tests/golden/torch-checkpoints/plain-state-dict.pt', SCANS });
  const first = rows[15];
  const last = rows.at(-1);
  t.diagnostic(`buffers ${first.buffers} -> ${last.buffers}, ${first.bytes} -> ${last.bytes} bytes; wasm ${first.wasm} -> ${last.wasm}`);
  assert.equal(rows.length, SCANS);
  assert.ok(first.buffers > 100 && first.bytes > 0, 'buffers are counted');
  for (const row of rows.slice(15)) {
    assert.equal(row.buffers, first.buffers);
    assert.equal(row.bytes, first.bytes);
    assert.equal(row.wasm, first.wasm);
  }
});
