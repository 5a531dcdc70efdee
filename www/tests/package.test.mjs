// The npm package in a tab: its numbers against the native program's, and what it does when something is wrong.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch, open } from './browser.mjs';
import { labels, zContiguous } from './nifti.mjs';
import { serve } from './server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const out = fileURLToPath(new URL('out/', import.meta.url));
const unetr = process.env.UNETR ?? `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/release/unetr`;
const MODEL = '/models/hippocampus.safetensors';
const SHA256 = 'de78a3e3e46323f68daf5cf00faf0b6459eac02c7fd1fa721557aaa01fa66810';
const SCANS = '/repo/tests/data/hippocampus/images/';

let server;
let browser;

before(async () => {
  mkdirSync(out, { recursive: true });
  server = await serve();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Runs `body(package, argument)` in an empty page of its own; nothing may be reported on the console. */
async function inPage(body, argument = {}, { noise = false } = {}) {
  const { page, problems, context } = await open(browser, `${server.url}/page`);
  try {
    const source = `(async (a) => {
      const unetr = await import('/unetr-wgpu/index.js');
      const bytes = async (url) => (await fetch(url)).arrayBuffer();
      const fail = async (promise) => promise.then(() => null, (e) => ({ code: e.code, name: e.name, message: e.message }));
      return (${body})({ ...unetr, bytes, fail }, a);
    })(${JSON.stringify({ MODEL, SHA256, SCANS, ...argument })})`;
    const result = await page.evaluate(source);
    if (!noise) assert.deepEqual(problems, []);
    return result;
  } finally {
    await context.close();
  }
}

function native(name, ...options) {
  const image = `${root}tests/data/${name}`;
  const path = `${out}${name.split('/').pop()}`;
  execFileSync(unetr, ['segment', image, '-m', `${root}models/hippocampus.safetensors`, '-o', path, '--force', ...options], { stdio: 'pipe' });
  return labels(readFileSync(path));
}

test('the support check names the software adapter and loads nothing', async () => {
  server.log.length = 0;
  const support = await inPage(async ({ checkSupport }) => checkSupport());
  assert.equal(support.webgpu, true);
  assert.equal(support.software, true);
  assert.match(support.adapter.name, /swiftshader/i);
  assert.ok(support.limits.maxStorageBufferBindingSize >= 128 << 20);
  assert.ok(!server.log.some(({ path }) => /worker|wasm/.test(path)), 'nothing but the module itself was loaded');
});

test('every kernel agrees with double precision in the tab', async () => {
  const report = await inPage(async ({ selfTest }) => {
    let last;
    const report = await selfTest({ onProgress: (p) => { last = p; } });
    return { ...report, last };
  });
  assert.deepEqual(report.kernels.flatMap((k) => k.failures), []);
  assert.ok(report.ok && report.kernels.length >= 13, `${report.kernels.length} kernels`);
  assert.equal(report.last.done, report.kernels.length);
});

test('labels on real scans are those of the native program', async (t) => {
  // The last one lies otherwise, is larger than a window, and shows what this model never saw: many windows, odd labels.
  const names = ['250', '087', '326'].map((n) => `hippocampus/images/hippocampus_${n}.nii.gz`);
  for (const name of [...names, 'nifti-orientations/PIL.nii.gz']) {
    const want = native(name);
    const got = await inPage(async ({ createSegmenter, bytes }, { MODEL, name }) => {
      const phases = [];
      const segmenter = await createSegmenter({ model: MODEL, onProgress: (p) => phases.push(p.phase) });
      const result = await segmenter.segment(new File([await bytes(`/repo/tests/data/${name}`)], name), { onProgress: (p) => phases.push(p.phase) });
      segmenter.dispose();
      const { dims, affine, statistics, labelTable, device, timings, plan, provenance } = result;
      return {
        dims, affine, statistics, labelTable, device, timings, plan, provenance, phases: [...new Set(phases)],
        labels: Array.from(result.labels), nifti: Array.from(result.toNifti()), csv: result.statisticsCsv(),
      };
    }, { name });
    const expected = zContiguous(want);
    const equal = expected.reduce((n, v, i) => n + (v === got.labels[i]), 0) / expected.length;
    t.diagnostic(`${name}: ${(100 * equal).toFixed(4)}% of ${expected.length} voxels equal, ${Math.round(got.timings.totalMs)} ms for ${got.plan.windows} windows`);
    assert.deepEqual(got.dims, want.dims);
    assert.ok(equal >= 0.9999, `${name}: ${equal}`);
    const file = labels(Uint8Array.from(got.nifti));
    assert.deepEqual(file.affine, want.affine);
    assert.deepEqual(zContiguous(file), Uint8Array.from(got.labels));
    assert.match(file.extensions.toString(), /hippocampus_anterior/);
    assert.deepEqual(got.phases, ['download', 'compile', 'preprocess', 'infer', 'postprocess']);
    assert.equal(got.statistics[0].voxels, got.labels.filter((l) => l === 1).length);
    assert.match(got.csv, /^label,label_value,/);
    assert.deepEqual(got.labelTable.map((l) => l.color), ['#e0a040', '#40a0e0']);
    assert.equal(got.provenance.model.sha256, SHA256);
    assert.equal(got.device.software, true);
  }
});

test('progress rises, a stopped run ends at once, and the next run is right', async () => {
  const got = await inPage(async ({ createSegmenter, fail }, { MODEL }) => {
    const dims = [100, 64, 48];
    const data = Float32Array.from({ length: 100 * 64 * 48 }, (_, i) => Math.sin(i * 0.37) + (i % 3072) / 3072);
    const scan = { data, dims, affine: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] };
    const segmenter = await createSegmenter({ model: MODEL });
    const first = [];
    const whole = await segmenter.segment(scan, { overlap: 0.25, onProgress: (p) => first.push(p) });
    const controller = new AbortController();
    let asked = 0;
    const stopped = await fail(segmenter.segment(scan, {
      overlap: 0.25,
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'infer' && done === 1) {
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
    return { first, stopped, rejected, waited, same, before, late, windows: whole.plan.windows, perWindow: whole.timings.inferMs / whole.plan.windows };
  });
  const windows = got.first.filter((p) => p.phase === 'infer');
  assert.equal(windows.at(-1).done, got.windows);
  assert.equal(windows.at(-1).fraction, 1);
  assert.ok(windows.every((p, i) => i === 0 || p.done >= windows[i - 1].done), 'progress never falls');
  assert.ok(windows.some((p) => p.etaMs > 0), 'the time left is told');
  assert.deepEqual([got.stopped.name, got.stopped.code], ['AbortError', 'aborted']);
  assert.ok(got.rejected < 100, `rejected after ${got.rejected} ms`);
  assert.equal(got.windows, 3);
  // Two were left to do; others may use the machine too.
  assert.ok(got.waited < 1.8 * got.perWindow, `the worker went on for ${got.waited} ms, a window takes ${got.perWindow}`);
  assert.ok(got.same, 'the run after a stopped one gives the same labels');
  assert.equal(got.before.code, 'aborted');
  assert.equal(got.late.code, 'bad-input');
});

test('plain voxels give what their file gives, and plans come before runs', async () => {
  const got = await inPage(async ({ createSegmenter }, { MODEL }) => {
    const segmenter = await createSegmenter({ model: MODEL, precision: 'f16' });
    const dims = [30, 40, 35];
    const data = Float32Array.from({ length: 30 * 40 * 35 }, (_, i) => Math.sin(i * 0.37) + (i % 35) / 35);
    const affine = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
    const plan = await segmenter.plan({ data, dims, affine });
    const result = await segmenter.segment({ data, dims, affine });
    segmenter.dispose();
    return { plan, dims: result.dims, affine: result.affine, length: result.labels.length };
  });
  assert.equal(got.plan.windows, 1);
  assert.ok(got.plan.memory.total > got.plan.memory.weights && got.plan.memory.weights > 10e6);
  assert.deepEqual(got.dims, [30, 40, 35]);
  assert.equal(got.length, 30 * 40 * 35);
  assert.deepEqual(got.affine[3], [0, 0, 0, 1]);
});

test('wrong input is refused by name, and the segmenter stays usable', async () => {
  const got = await inPage(async ({ createSegmenter, bytes, fail }, { MODEL, SCANS, SHA256 }) => {
    const model = await bytes(MODEL);
    const scan = await bytes(`${SCANS}hippocampus_250.nii.gz`);
    const damaged = model.slice(0);
    new Uint8Array(damaged).fill(0xff, 5_000_000, 5_000_100);
    const make = (options) => fail(createSegmenter(options));
    const segmenter = await createSegmenter({ model, sha256: SHA256 });
    const segment = (input, options) => fail(segmenter.segment(input, options));
    const affine = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
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
      cutModel: await make({ model: model.slice(0, 9_000_000) }),
      damaged: await make({ model: damaged }),
      hash: await make({ model: damaged, sha256: SHA256 }),
      absent: await make({ model: '/models/none.safetensors' }),
      number: await make({ model: 5 }),
    };
    const result = await segmenter.segment(scan);
    return { errors, labelled: result.labels.some((l) => l > 0) };
  }, {}, { noise: true });
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

test('after a lost device or a fault of the driver the next call starts anew', async () => {
  const got = await inPage(async ({ createSegmenter, fail }, { MODEL }) => {
    const dims = [30, 30, 30];
    const scan = { data: Float32Array.from({ length: 27000 }, (_, i) => Math.sin(i)), dims, affine: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] };
    const gpu = new BroadcastChannel('gpu');
    let workers = 0;
    const worker = () => {
      workers += 1;
      return new Worker('/repo/www/tests/failing-worker.js', { type: 'module' });
    };
    const segmenter = await createSegmenter({ model: MODEL, worker });
    gpu.postMessage('lose');
    const lost = await fail(segmenter.segment(scan));
    const after = await segmenter.segment(scan);
    gpu.postMessage('throw');
    const [thrown, queued] = await Promise.all([fail(segmenter.segment(scan)), fail(segmenter.plan(scan))]);
    const last = await segmenter.segment(scan);
    segmenter.dispose();
    return { workers, lost, thrown, queued, same: after.labels.every((v, i) => v === last.labels[i]) };
  }, {}, { noise: true });
  assert.equal(got.lost.code, 'device-lost');
  assert.equal(got.thrown.code, 'internal');
  assert.match(got.thrown.message, /the driver is gone/);
  assert.equal(got.queued.code, 'internal', 'whoever waited behind is told too');
  assert.equal(got.workers, 3);
  assert.ok(got.same, 'the labels are the same after each');
});

test('a download that was broken off goes on after a reload', async () => {
  const { page, context } = await open(browser, `${server.url}/page`);
  const load = (stopAt) => page.evaluate(async ([MODEL, SHA256, stopAt]) => {
    const { createSegmenter } = await import('/unetr-wgpu/index.js');
    const controller = new AbortController();
    const onProgress = ({ phase, done }) => { if (phase === 'download' && done > stopAt) controller.abort(); };
    try {
      const segmenter = await createSegmenter({ model: MODEL, sha256: SHA256, signal: controller.signal, onProgress });
      segmenter.dispose();
      return segmenter.model.from;
    } catch (error) {
      return error.code;
    }
  }, [MODEL, SHA256, stopAt]);
  // The worker is given the time to put down what it has.
  server.breaks.set(MODEL, 5_000_000);
  server.log.length = 0;
  assert.equal(await load(4_000_000), 'aborted');
  await page.waitForTimeout(500);
  await page.reload();
  assert.equal(await load(Infinity), 'network');
  const ranges = server.log.filter(({ path }) => path === MODEL).map(({ range }) => range);
  assert.match(ranges.at(-1), /^bytes=[1-9]\d*-$/, 'what was there was not asked for again');
  await context.close();
});

test('a broken download goes on where it stopped, is kept, and is checked when taken from there', async () => {
  server.log.length = 0;
  server.breaks.set(MODEL, 4_000_000);
  const got = await inPage(async ({ createSegmenter, listModels, clearModels }, { MODEL, SHA256 }) => {
    const from = [];
    const load = async (options) => {
      const segmenter = await createSegmenter({ model: MODEL, ...options });
      from.push(segmenter.model.from);
      segmenter.dispose();
    };
    await load({ sha256: SHA256 });
    await load({});
    const kept = await listModels();
    // One byte of the kept file is changed.
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('unetr-wgpu');
    for await (const [name, handle] of folder.entries()) {
      if (!name.endsWith('.bin')) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: 6_000_000, data: new Uint8Array([1, 2, 3]) });
      await writable.close();
    }
    await load({});
    await load({ cache: 'cache' });
    await load({ cache: 'cache' });
    await load({ cache: 'memory' });
    await load({ cache: 'memory' });
    const both = await listModels();
    await clearModels();
    return { from, kept, both, left: await listModels() };
  }, {}, { noise: true });
  const loads = server.log.filter(({ path }) => path === MODEL);
  assert.equal(loads[0].range, null);
  assert.match(loads[1].range, /^bytes=[1-9]\d*-$/);
  assert.deepEqual(got.from, ['network', 'opfs', 'network', 'network', 'cache', 'network', 'given']);
  assert.equal(loads.length, 5);
  assert.deepEqual(got.kept.map((m) => [m.bytes, m.sha256, m.complete, m.kept]), [[13950310, SHA256, true, 'opfs']]);
  assert.deepEqual(got.both.map((m) => m.kept).sort(), ['cache', 'opfs']);
  assert.deepEqual(got.left, []);
});
