// Kernels are compiled ahead, beside everything else: the page goes on drawing, hears of each, and may stop it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { zContiguous } from './nifti.mjs';
import { MODEL, ROI, native, out, pages } from './page.mjs';
import { nifti, part } from './synthetic.mjs';

const tab = pages();
// One window of the sample: what a run takes beside its kernels says nothing here.
const WINDOW = `${out}window.nii`;

test('kernels are compiled beside everything else, one tick each, once for all models of a page', async (t) => {
  const { value, affine, dims } = part([5, 4, 10], ROI);
  writeFileSync(WINDOW, nifti(dims, value, { affine }));
  const got = await tab.run(async ({ createSegmenter, bytes, fail, noise }, { MODEL }) => {
    const gpu = new BroadcastChannel('gpu');
    const count = () => new Promise((resolve) => {
      gpu.addEventListener('message', ({ data }) => resolve(data), { once: true });
      gpu.postMessage('count');
    });
    let workers = 0;
    const worker = () => {
      workers += 1;
      return new Worker('/repo/www/tests/compiling-worker.js', { type: 'module' });
    };
    // A page that draws, and the longest time between two of its frames and two ticks of its clock.
    const gl = document.body.appendChild(document.createElement('canvas')).getContext('webgl');
    const gaps = { frame: 0, tick: 0 };
    const watch = (name) => {
      let before = performance.now();
      return () => {
        const now = performance.now();
        gaps[name] = Math.max(gaps[name], now - before);
        before = now;
      };
    };
    const frame = watch('frame');
    const draw = () => {
      frame();
      gl.clearColor(Math.random(), 0, 0, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
    setInterval(watch('tick'), 10);

    const scan = await bytes('/repo/www/tests/out/window.nii');
    const start = performance.now();
    const segmenter = await createSegmenter({ model: MODEL, worker });
    const loaded = await count();

    // Stopped in the middle, while a plan is asked for and given.
    const controller = new AbortController();
    const order = [];
    const stopping = fail(segmenter.compile({
      signal: controller.signal,
      onProgress: ({ done }) => {
        if (done !== 2) return;
        segmenter.plan(scan).then(() => order.push('plan')).then(() => controller.abort());
      },
    })).then((error) => {
      order.push('stopped');
      return error;
    });
    const stopped = await stopping;
    const atStop = (await count()).ahead.length;

    const ticks = [];
    const result = await segmenter.segment(scan, { onProgress: ({ phase, done, total }) => { if (phase === 'compile') ticks.push([done, total]); } });
    const elapsed = performance.now() - start;
    const first = await count();

    const again = [];
    const onProgress = ({ phase }) => again.push(phase);
    const second = await createSegmenter({ model: MODEL, worker });
    const same = await second.segment(scan, { onProgress });
    await segmenter.compile({ onProgress });
    const last = await count();
    // A scan unlike any in the training.
    const odd = await segmenter.plan(noise([150, 20, 20]));
    const fit = { odd: odd.doubts, told: odd.warnings, plan: result.plan.doubts, result: result.doubts, record: result.provenance.doubts, model: segmenter.model };
    segmenter.dispose();
    const alone = await second.segment(scan);
    second.dispose();
    return {
      fit, gaps, elapsed, workers, loaded, stopped, order, atStop, ticks, first, last, again: [...new Set(again)], labels: Array.from(result.labels),
      compileMs: result.timings.compileMs, equal: [same, alone].every((r) => r.labels.every((l, i) => l === result.labels[i])),
    };
  }, { MODEL });
  t.diagnostic(`longest gap between frames ${Math.round(got.gaps.frame)} ms, between ticks ${Math.round(got.gaps.tick)} ms; from load to labels ${Math.round(got.elapsed)} ms`);
  assert.deepEqual([got.fit.plan, got.fit.result, got.fit.record], [[], [], []]);
  assert.match(got.fit.odd[0], /^the scan covers 150 x 20 x 20 mm .*the 204 training scans covered /);
  assert.ok(got.fit.odd.every((doubt) => got.fit.told.includes(doubt)) && /not for: whole heads/.test(got.fit.odd.at(-1)));
  assert.match(got.fit.model.card, /^# hippocampus\n/);
  assert.deepEqual([got.fit.model.trained_on.cases, got.fit.model.trained_on.modality], [204, 'MR']);
  assert.equal(got.loaded.ahead.length, 0, 'nothing is compiled that nobody asked for');
  assert.equal(got.stopped.name, 'AbortError');
  assert.deepEqual(got.order, ['plan', 'stopped'], 'a plan does not wait for compilers');
  assert.ok(got.atStop >= 2 && got.atStop < got.first.ahead.length / 2, `${got.atStop} of ${got.first.ahead.length} were begun`);
  assert.equal(got.first.waiting, 0, 'no kernel was compiled while everything waited');
  assert.ok(got.first.ahead.length > 20, `${got.first.ahead.length} kernels`);
  assert.equal(new Set(got.first.ahead).size, got.first.ahead.length, 'each once');
  // What was under way at the stop was ended by then.
  const total = got.ticks[0][1];
  assert.ok(total >= got.first.ahead.length - got.atStop && total <= got.first.ahead.length - 2, `${total} were left`);
  assert.deepEqual(got.ticks, Array.from({ length: total + 1 }, (_, done) => [done, total]), 'a tick for each');
  assert.ok(got.compileMs > 0);
  assert.deepEqual([got.last.ahead.length, got.last.waiting], [got.first.ahead.length, 0], 'a second model uses the same');
  assert.ok(!got.again.includes('compile'), `${got.again}`);
  assert.deepEqual([got.workers, got.last.devices], [1, 1], 'one worker, one device');
  assert.ok(got.equal, 'the same labels again, and after the other model is gone');
  const want = zContiguous(native(WINDOW));
  assert.ok(want.reduce((n, v, i) => n + (v === got.labels[i]), 0) >= 0.9999 * want.length);
});

test('the worker ends a while after its last model', async () => {
  const { page, context } = await tab.page();
  await page.clock.install();
  const workers = () => page.workers().length;
  await page.evaluate(async (model) => {
    const { createSegmenter } = await import('/unetr-wgpu/index.js');
    const all = [await createSegmenter({ model }), await createSegmenter({ model })];
    for (const segmenter of all) segmenter.dispose();
  }, MODEL);
  assert.equal(workers(), 1);
  await page.clock.runFor(61_000);
  await page.waitForFunction(() => true);
  assert.equal(workers(), 0);
  await context.close();
});
