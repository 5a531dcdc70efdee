// What the package does when it is stopped, when something is wrong, and when the device is lost.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { open } from '../browser.mjs';
import { pages, script } from '../page.mjs';
import { serve } from '../server.mjs';
import { tinyPackage } from '../tiny.mjs';

// Wide enough that a window takes much longer than what a run has reached takes to be saved.
const tiny = tinyPackage(32);
const TINY = { MODEL: '/tiny.safetensors', ROI: [32, 32, 32], SHA256: createHash('sha256').update(tiny.bytes).digest('hex') };
const tab = pages({ [TINY.MODEL]: tiny.bytes });

test('progress rises, a stopped run ends at once, and the next run is right', async () => {
  const got = await tab.run(async ({ createSegmenter, fail, noise }, { MODEL, ROI }) => {
    const scan = noise([3 * ROI[0], 2 * ROI[1], ROI[2]]);
    const segmenter = await createSegmenter({ model: MODEL });
    const first = [];
    const whole = await segmenter.segment(scan, { overlap: 0.25, onProgress: (p) => first.push(p) });
    const controller = new AbortController();
    let asked = 0;
    const stopped = await fail(segmenter.segment(scan, {
      overlap: 0.25,
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'infer' && done >= 1 && asked === 0) {
          asked = performance.now();
          controller.abort();
        }
      },
    }));
    const rejected = performance.now() - asked;
    const again = await segmenter.segment(scan, { overlap: 0.25 });
    const waited = performance.now() - asked - again.timings.totalMs;
    const before = await fail(segmenter.segment(scan, { signal: AbortSignal.abort() }));
    segmenter.dispose();
    const late = await fail(segmenter.segment(scan));
    const same = whole.labels.every((v, i) => v === again.labels[i]);
    return { first, stopped, rejected, waited, same, before, late, windows: whole.plan.windows, inferMs: whole.timings.inferMs };
  }, TINY);
  const windows = got.first.filter((p) => p.phase === 'infer');
  assert.equal(windows.at(-1).done, got.windows);
  assert.equal(windows.at(-1).fraction, 1);
  assert.ok(windows.every((p, i) => i === 0 || p.done >= windows[i - 1].done), 'progress never falls');
  assert.ok(windows.some((p) => p.etaMs > 0), 'the time left is told');
  assert.deepEqual([got.stopped.name, got.stopped.code], ['AbortError', 'aborted']);
  assert.ok(got.rejected < 100, `rejected after ${got.rejected} ms`);
  assert.equal(got.windows, 12);
  // Eleven were left to do.
  assert.ok(got.waited < 0.5 * got.inferMs, `the worker went on for ${got.waited} ms, all windows take ${got.inferMs}`);
  assert.ok(got.same, 'the run after a stopped one gives the same labels');
  assert.equal(got.before.code, 'aborted');
  assert.equal(got.late.code, 'bad-input');
});

test('wrong input is refused by name, and the segmenter stays usable', async () => {
  const got = await tab.run(async ({ createSegmenter, bytes, fail, affine }, { MODEL, SCAN, SHA256 }) => {
    const model = await bytes(MODEL);
    const scan = await bytes(SCAN);
    const damaged = model.slice(0);
    new Uint8Array(damaged).fill(0xff, model.byteLength >> 1, (model.byteLength >> 1) + 100);
    const make = (options) => fail(createSegmenter(options));
    const segmenter = await createSegmenter({ model, sha256: SHA256 });
    const segment = (input, options) => fail(segmenter.segment(input, options));
    const errors = {
      text: await segment(new File(['no scan'], 'notes.txt')),
      cut: await segment(new File([scan.slice(0, 40000)], 'cut.nii.gz')),
      twice: await segment([scan, scan]),
      empty: await segment([]),
      nothing: await segment(null),
      overlap: await segment(scan, { overlap: 1 }),
      length: await segment({ data: new Float32Array(7), dims: [2, 2, 2], affine }),
      singular: await segment({ data: new Float32Array(8), dims: [2, 2, 2], affine: affine.map((r) => r.map(() => 0)) }),
      flat: await segment({ data: new Float32Array(8), dims: [2, 2], affine }),
      noModel: await make({ model: new File(['abc'], 'x.safetensors') }),
      cutModel: await make({ model: model.slice(0, model.byteLength >> 1) }),
      damaged: await make({ model: damaged }),
      hash: await make({ model: damaged, sha256: SHA256 }),
      absent: await make({ model: '/models/none.safetensors' }),
      number: await make({ model: 5 }),
    };
    const result = await segmenter.segment(scan);
    return { errors, labelled: result.labels.some((l) => l > 0) };
  }, TINY, { noise: true });
  const codes = Object.fromEntries(Object.entries(got.errors).map(([key, e]) => [key, e?.code]));
  assert.deepEqual(codes, {
    text: 'bad-input', cut: 'bad-input', twice: 'bad-input', empty: 'bad-input', nothing: 'bad-input', overlap: 'bad-input',
    length: 'bad-input', singular: 'bad-input', flat: 'bad-input', noModel: 'bad-model', cutModel: 'bad-model',
    damaged: 'bad-model', hash: 'checksum', absent: 'network', number: 'bad-input',
  });
  assert.match(got.errors.text.message, /^notes\.txt: not a NIfTI file/);
  assert.match(got.errors.twice.message, /2 channel\(s\), the model needs 1: MR/);
  assert.ok(got.labelled, 'a good scan after all of these is segmented');
});

test('a run whose device is lost goes on, on a new one, and gives the same bits', async (t) => {
  const got = await tab.run(async ({ createSegmenter, fail, noise, failing }, { MODEL, ROI }) => {
    const scan = noise([2 * ROI[0] + 4, ROI[1], ROI[2]]);
    const small = noise([30, 30, 30]);
    const { gpu, worker, made } = failing();
    const segmenter = await createSegmenter({ model: MODEL, worker });
    const whole = await segmenter.segment(scan);
    const same = (result) => whole.labels.every((v, i) => v === result.labels[i]);
    /** Loses the device as soon as these windows are finished; says which windows were told. */
    const lose = async (...losses) => {
      const told = [];
      const result = await segmenter.segment(scan, {
        onProgress: ({ phase, done }) => {
          if (phase !== 'infer') return;
          if (done > 0) told.push(done);
          // Of quick windows not each is told.
          if (done >= losses[0]) {
            losses.shift();
            gpu.postMessage('lose');
          }
        },
      });
      return { told, recoveries: result.recoveries, warnings: result.warnings, same: same(result) };
    };
    const once = await lose(2);
    const twice = await lose(1, 3);
    gpu.postMessage('lose');
    const between = await segmenter.segment(small);
    gpu.postMessage('lose');
    const plan = await segmenter.plan(small);
    gpu.postMessage('dead');
    const dead = await fail(segmenter.segment(small));
    gpu.postMessage('alive');
    segmenter.dispose();
    return { total: whole.plan.windows, recoveries: whole.recoveries, once, twice, between: between.recoveries, plan: plan.windows, dead, workers: made() };
  }, TINY, { noise: true });
  t.diagnostic(JSON.stringify({ ...got, dead: got.dead?.message }));
  assert.ok(got.total >= 3 && got.recoveries === 0);
  for (const run of [got.once, got.twice]) {
    assert.ok(run.same, 'not one label differs');
    assert.equal(run.told.at(-1), got.total);
    // Saving costs little here, so that no more than the window under way is run again.
    const repeated = run.told.length - new Set(run.told).size;
    assert.ok(repeated <= run.recoveries, `windows ${run.told}`);
  }
  assert.equal(got.once.recoveries, 1);
  assert.equal(got.twice.recoveries, 2);
  assert.match(got.once.warnings.join(), /device was lost and replaced/);
  assert.equal(got.between, 1);
  assert.equal(got.plan, 1);
  assert.equal(got.dead.code, 'device-lost', 'a device that is lost again and again is given up');
  assert.equal(got.workers, 1, 'all in one worker');
});

test('after a fault of the driver the next call starts anew', async () => {
  const got = await tab.run(async ({ createSegmenter, fail, noise, failing }, { MODEL }) => {
    const scan = noise([30, 30, 30]);
    const { gpu, worker, made } = failing();
    const segmenter = await createSegmenter({ model: MODEL, worker });
    const before = await segmenter.segment(scan);
    gpu.postMessage('throw');
    const [thrown, queued] = await Promise.all([fail(segmenter.segment(scan)), fail(segmenter.plan(scan))]);
    const last = await segmenter.segment(scan);
    segmenter.dispose();
    return { workers: made(), thrown, queued, same: before.labels.every((v, i) => v === last.labels[i]) };
  }, TINY, { noise: true });
  assert.equal(got.thrown.code, 'internal');
  assert.match(got.thrown.message, /the driver is gone/);
  assert.equal(got.queued.code, 'internal', 'whoever waited behind is told too');
  assert.equal(got.workers, 2);
  assert.ok(got.same, 'the labels are the same after it');
});

test('a browser without WebGPU is told in words', async () => {
  const got = await tab.run(async ({ createSegmenter, selfTest, scanToNifti, bytes, fail }, { MODEL, SCAN }) => {
    Object.defineProperty(navigator, 'gpu', { value: undefined });
    const shown = await scanToNifti(await bytes(SCAN));
    return { made: await fail(createSegmenter({ model: MODEL })), tested: await fail(selfTest()), shown: shown.nifti.length };
  });
  for (const error of [got.made, got.tested]) {
    assert.equal(error.code, 'no-webgpu');
    assert.match(error.message, /no WebGPU\. Use a current Chrome/);
  }
  assert.ok(got.shown > 352, 'scans are read without a GPU');
});

test('the package works from another origin, and says so where it cannot', async () => {
  const assets = await serve({ headers: { 'access-control-allow-origin': '*' } });
  try {
    // A page whose policy allows it.
    const { page, context } = await open(tab.browser, `${tab.server.url}/isolated`);
    const body = async ({ scanToNifti, bytes, fail }, { SCAN, assetPath }) => {
      const scan = await bytes(SCAN);
      const { nifti } = await scanToNifti(scan, { assetPath });
      const absent = await fail(scanToNifti(scan, { assetPath: '/nothing/' }));
      return { bytes: nifti.length, absent };
    };
    const got = await page.evaluate(script(body, { assetPath: `${assets.url}/unetr-wgpu/` }));
    assert.equal(got.bytes, 352 + 4 * 42 * 57 * 52);
    assert.equal(got.absent.code, 'internal');
    assert.match(got.absent.message, /is assetPath right/);
    await context.close();
  } finally {
    assets.close();
  }
});
