// The npm package in a tab: its numbers against the native program's.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { labels, zContiguous } from '../nifti.mjs';
import { ROI, SHA256, SHIPPED, native, out, pages, root } from '../page.mjs';
import { nifti, part, turned } from '../synthetic.mjs';

const tab = pages();

test('the support check names the software adapter and loads nothing', async () => {
  tab.server.log.length = 0;
  const support = await tab.run(async ({ checkSupport }) => checkSupport());
  assert.equal(support.webgpu, true);
  assert.equal(support.software, true);
  assert.match(support.adapter.name, /swiftshader/i);
  assert.ok(support.limits.maxStorageBufferBindingSize >= 128 << 20);
  assert.ok(!tab.server.log.some(({ path }) => /\/worker\.js$|\/unetr_wgpu\.js$|wasm$/.test(path)), 'nothing but the module itself was loaded');
});

test('every kernel agrees with double precision in the tab', async () => {
  const report = await tab.run(async ({ selfTest }) => {
    let last;
    const report = await selfTest({ onProgress: (p) => { last = p; } });
    return { ...report, last };
  });
  assert.deepEqual(report.kernels.flatMap((k) => k.failures), []);
  assert.ok(report.ok && report.kernels.length >= 13, `${report.kernels.length} kernels`);
  assert.equal(report.last.done, report.kernels.length);
});

test('labels on real scans are those of the native program', async (t) => {
  // Of several windows each; the second is of another size, the last lies otherwise.
  const { value, affine, dims } = part([3, 4, 2], [36, 50, 46]);
  writeFileSync(`${out}part.nii`, nifti(dims, value, { affine }));
  writeFileSync(`${out}turned.nii`, turned());
  const names = ['models/samples/hippocampus.nii.gz', 'www/tests/out/part.nii', 'www/tests/out/turned.nii'];
  const all = await tab.run(async ({ createSegmenter, bytes }, { MODEL, names }) => {
    const phases = [];
    const onProgress = (p) => phases.push(p.phase);
    const segmenter = await createSegmenter({ model: MODEL, onProgress });
    const results = [];
    for (const name of names) {
      const result = await segmenter.segment(new File([await bytes(`/repo/${name}`)], name), { onProgress });
      const { dims, affine, statistics, labelTable, device, timings, plan, provenance } = result;
      results.push({
        dims, affine, statistics, labelTable, device, timings, plan, provenance, phases: [...new Set(phases)],
        labels: Array.from(result.labels), nifti: Array.from(result.toNifti()), csv: result.statisticsCsv(),
      });
    }
    segmenter.dispose();
    return results;
  }, { names });
  for (const [i, name] of names.entries()) {
    const [got, want] = [all[i], native(root + name)];
    const expected = zContiguous(want);
    const equal = expected.reduce((n, v, i) => n + (v === got.labels[i]), 0) / expected.length;
    t.diagnostic(`${name}: ${(100 * equal).toFixed(4)}% of ${expected.length} voxels equal, ${Math.round(got.timings.totalMs)} ms for ${got.plan.windows} windows`);
    assert.deepEqual(got.dims, want.dims);
    assert.ok(equal >= 0.9999, `${name}: ${equal}`);
    const file = labels(Uint8Array.from(got.nifti));
    assert.deepEqual(file.affine, want.affine);
    assert.deepEqual(zContiguous(file), Uint8Array.from(got.labels));
    for (const { name: label } of SHIPPED.package.output.labels) assert.ok(file.extensions.toString().includes(label), label);
    assert.deepEqual(got.phases, ['download', 'preprocess', 'compile', 'infer', 'postprocess']);
    assert.equal(got.statistics[0].voxels, got.labels.filter((l) => l === 1).length);
    assert.match(got.csv, /^label,label_value,/);
    assert.deepEqual(got.labelTable, SHIPPED.package.output.labels.map(({ value, name, color }) => ({ value, name, color })));
    assert.equal(got.provenance.model.sha256, SHA256);
    assert.equal(got.device.software, true);
    const { adapter, software } = got.provenance.device;
    assert.deepEqual([adapter, software], [got.device.name, true]);
    assert.match(adapter, /swiftshader/i);
    assert.ok(file.extensions.toString().includes(JSON.stringify(adapter)), 'the file tells the adapter');
  }
});

test('plain voxels give what their file gives, and plans come before runs', async () => {
  const got = await tab.run(async ({ createSegmenter, noise }, { MODEL, ROI }) => {
    const segmenter = await createSegmenter({ model: MODEL, precision: 'f16' });
    // Smaller than a window.
    const scan = noise(ROI.map((n, axis) => n - axis - 2));
    const unmeasured = await segmenter.plan(scan);
    const phases = [];
    const plan = await segmenter.plan(scan, { measure: true, onProgress: ({ phase }) => phases.push(phase) });
    const start = performance.now();
    const again = await segmenter.plan(scan, { measure: true });
    const second = performance.now() - start;
    const result = await segmenter.segment(scan);
    const amended = await segmenter.amend(scan, result.labels.map((l, i) => (i < 5 ? 1 : Math.min(l, 1))));
    // A benchmark that is stopped lets the next request in.
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1000);
    const stopped = await segmenter.benchmark({ repeats: 1000, signal: controller.signal }).catch((error) => error.code);
    const asked = performance.now();
    await segmenter.plan(scan);
    const waited = performance.now() - asked;
    segmenter.dispose();
    const corrected = { statistics: amended.statistics, counted: amended.labels.reduce((n, l) => n + Number(l === 1), 0), record: JSON.stringify(amended.provenance), file: amended.toNifti().length };
    return { corrected, stopped, waited, unmeasured, plan, phases: [...new Set(phases)], again, second, inferMs: result.timings.inferMs, dims: result.dims, affine: result.affine, length: result.labels.length };
  });
  assert.equal(got.plan.windows, 1);
  assert.ok(got.plan.memory.total > got.plan.memory.weights && got.plan.memory.weights >= SHIPPED.bytes / 3);
  assert.deepEqual([got.unmeasured.windowMs, got.unmeasured.estimatedMs], [null, null]);
  assert.deepEqual(got.phases, ['compile', 'measure'], 'what takes long is told');
  assert.equal(got.plan.estimatedMs, got.plan.windowMs * got.plan.windows);
  assert.equal(got.again.windowMs, got.plan.windowMs, 'measured once');
  assert.ok(got.second < got.plan.windowMs * 2, 'the second plan does not measure again');
  assert.deepEqual(got.dims, ROI.map((n, axis) => n - axis - 2));
  assert.equal(got.length, got.dims.reduce((a, b) => a * b));
  assert.deepEqual(got.affine[3], [0, 0, 0, 1]);
  assert.deepEqual(got.corrected.statistics.slice(0, 2).map((s) => s.voxels), [got.corrected.counted, 0], 'corrected labels are counted anew');
  assert.match(got.corrected.record, /corrected by hand/);
  assert.ok(got.corrected.file > 352);
  assert.equal(got.stopped, 'aborted');
  assert.ok(got.waited < 500 * got.plan.windowMs, `the benchmark went on for ${got.waited} ms`);
});
