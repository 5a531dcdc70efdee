// The module for NiiVue against the real viewers: labels lie where the package says, in a scan that is scaled, mirrored and of several frames.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, open } from './browser.mjs';
import { SCAN, SHIPPED, out } from './page.mjs';
import { serve } from './server.mjs';
import { nifti, part } from './synthetic.mjs';
import { tinyNetwork, tinyPackage } from './tiny.mjs';
import { bundled } from './viewers.mjs';

const { value, affine: [ax, ay, az], dims } = part();
const [nx] = dims;
/** Columns from right to left, unlike the sample's. */
const affine = [ax.map((v, i) => (i === 3 ? v + nx - 1 : -v)), ay, az];
const mirrored = (x, y, z) => value(nx - 1 - x, y, z);

/** The sample as the second of two frames, stored as (value - 10) / 0.5. */
function frames() {
  const file = nifti([...dims, 2], (x, y, z, t) => (t === 0 ? (x * 7 + y * 3) % 100 : 2 * (mirrored(x, y, z) - 10)), { affine });
  file.writeFloatLE(0.5, 112);
  file.writeFloatLE(10, 116);
  return file;
}

const two = tinyNetwork();
// Wide enough that a run takes longer than the pause before labels are drawn for the first time.
const wide = tinyPackage(32);
let server;
let browser;

before(async () => {
  const viewers = await bundled({ 'niivue-0.69': "export * from '@niivue/niivue';", 'niivue-1.0': "export { default as Niivue } from 'niivue-next/webgl2';" });
  server = await serve({ files: { ...viewers, '/frames.nii': frames(), '/two.safetensors': two.weights, '/tiny.safetensors': wide.bytes } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** In the page: a viewer of either version behind one set of calls. */
const PAGE = async ({ version, SCAN, fields }) => {
  const { Niivue } = await import(`/viewers/niivue-${version}.js`);
  const { createSegmenter, UnetrError } = await import('/unetr-wgpu/index.js');
  const { scanOf, segmentNiivue } = await import('/unetr-wgpu/niivue.js');
  document.body.innerHTML = '<div style="width:600px;height:600px"><canvas id="view"></canvas></div>';
  const old = version === '0.69';
  const nv = new Niivue(old ? { backColor: [0, 0, 0, 1], show3Dcrosshair: false, loadingText: '' } : { backend: 'webgl2' });
  await nv.attachTo('view');
  await nv.loadVolumes([{ url: '/frames.nii' }]);
  await nv.setFrame4D(nv.volumes[0].id, 1);
  const segmenter = await createSegmenter({ model: '/tiny.safetensors' });

  const phases = [];
  // How many voxels had a label whenever that changed.
  const steps = [];
  const grown = setInterval(() => {
    const n = nv.volumes.length > 1 ? nv.volumes[1].img.reduce((sum, v) => sum + Number(v > 0), 0) : -1;
    if (n !== steps.at(-1)) steps.push(n);
  }, 20);
  const labels = await segmentNiivue(nv, { segmenter, onProgress: ({ phase }) => { if (phases.at(-1) !== phase) phases.push(phase); } });
  clearInterval(grown);
  const { result, volume } = labels;
  const [, ny, nz] = result.dims;
  const at = ([x, y, z]) => result.labels[(x * ny + y) * nz + z];

  // What the viewer says is at a place in the world.
  let heard;
  if (old) nv.onLocationChange = (place) => { heard = place; };
  else nv.addEventListener('locationChange', ({ detail }) => { heard = detail; });
  const look = (mm) => {
    if (old) {
      nv.scene.crosshairPos = nv.mm2frac(mm);
      nv.createOnLocationChange();
    } else nv.setCrosshairPos(mm);
    return heard.values.at(-1);
  };
  const wrong = [];
  const names = new Set();
  let looked = 0;
  for (let i = 7; i < result.labels.length; i += 1) {
    // Every labelled voxel of some, and some of the background.
    if (result.labels[i] ? i % 401 : i % 2003) continue;
    const voxel = [Math.floor(i / (ny * nz)), Math.floor(i / nz) % ny, i % nz];
    const mm = result.affine.slice(0, 3).map((row) => row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3]);
    const seen = look(mm);
    looked += 1;
    if (at(voxel)) names.add(`${at(voxel)} ${seen.label ?? heard.string}`);
    if (Math.round(seen.value) !== at(voxel)) wrong.push({ voxel, mm, seen: seen.value, want: at(voxel) });
  }
  const counts = () => {
    const n = {};
    for (const v of volume.img) n[v] = (n[v] ?? 0) + 1;
    return n;
  };
  const all = counts();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  globalThis.shown = { nv, labels, segmenter };
  const first = result.labelTable[0];
  await labels.isolate(first.name);
  const alone = counts();
  const refused = await labels.isolate('nothing').then(() => null, (e) => e.message);
  await labels.isolate(null);
  const again = counts();

  // A run that is stopped leaves nothing behind; one that cannot start neither.
  const before = nv.volumes.length;
  const stop = new AbortController();
  const stopped = await segmentNiivue(nv, { segmenter, signal: stop.signal, onProgress: ({ phase }) => { if (phase === 'infer') stop.abort(); } }).then(() => null, (e) => e.code);
  const pairOnly = await createSegmenter({ model: '/two.safetensors', package: fields });
  const few = await segmentNiivue(nv, { segmenter: pairOnly, volumes: [nv.volumes[0]] }).then(() => null, (e) => (e instanceof UnetrError ? e.message : String(e)));
  pairOnly.dispose();
  // The file that the frame was made of, by the package's own reader.
  const known = await segmenter.segment(await (await fetch(SCAN)).blob());
  // Channels are scaled each for itself, the frame that is shown of each.
  const [scan] = nv.volumes;
  const two = scanOf([scan, { ...scan, frame4D: 0, hdr: { ...scan.hdr, scl_slope: 2, scl_inter: -1 } }]);
  const size = two.data.length / 2;
  const pair = { channels: two.channels, size, first: two.data[5] === 0.5 * scan.img[size + 5] + 10, second: two.data[size + 5] === 2 * scan.img[5] - 1 };
  const moved = { ...scan, name: 'other', hdr: { ...scan.hdr, affine: scan.hdr.affine.map((row) => row.map((v) => v + 1)) } };
  const said = (work) => { try { work(); return null; } catch (e) { return e.message; } };
  const refusals = [
    said(() => scanOf([scan, moved])), said(() => scanOf([{ ...scan, hdr: { ...scan.hdr, datatypeCode: 128 } }])),
    said(() => scanOf([{ ...scan, frame4D: 2 }])), said(() => scanOf([{ name: 'empty' }])),
  ];
  const left = nv.volumes.length - before;
  return {
    phases, refusals, steps, wrong: wrong.slice(0, 3), looked, names: [...names], all, alone, again, refused, stopped, few, pair, left, name: volume.name,
    known: Array.from(known.labels), labels: Array.from(result.labels), dims: result.dims, affine: result.affine, counted: result.statistics.map((s) => [s.value, s.voxels]),
  };
};

test('labels of a scan that NiiVue 0.69 and 1.0 show', async () => {
  const { page, problems, context } = await open(browser, `${server.url}/isolated`, { viewport: { width: 640, height: 640 } });
  const [, ny, nz] = dims;
  const table = SHIPPED.package.output.labels;
  for (const version of ['0.69', '1.0']) {
    const got = await page.evaluate(`(${PAGE})(${JSON.stringify({ version, SCAN, fields: two.fields })})`);
    assert.deepEqual(got.dims, dims);
    assert.deepEqual(got.affine.slice(0, 3), affine);
    const { known } = got;
    const other = got.labels.filter((v, i) => {
      const [x, yz] = [Math.floor(i / (ny * nz)), i % (ny * nz)];
      return v !== known[(nx - 1 - x) * ny * nz + yz];
    });
    assert.equal(other.length, 0, 'the labels are those of the file, mirrored');
    assert.deepEqual(got.wrong, []);
    assert.ok(got.looked > 100, `${got.looked}`);
    for (const { value: v, name } of table) assert.ok(got.names.some((text) => text.startsWith(`${v} `) && text.includes(name)), `${name} in ${got.names}`);
    const counted = Object.fromEntries(got.counted);
    for (const { value: v } of table) assert.equal(got.all[v], counted[v]);
    assert.deepEqual(Object.keys(got.alone), ['0', String(table[0].value)]);
    assert.equal(got.alone[table[0].value], got.all[table[0].value]);
    assert.deepEqual(got.again, got.all);
    assert.match(got.refused, /no label is "nothing": there are 1 "/);
    assert.ok(got.phases.includes('infer') && got.phases.includes('postprocess'), String(got.phases));
    const total = got.counted.reduce((n, [, voxels]) => n + voxels, 0);
    assert.ok(got.steps.some((n) => n > 0 && n < total), `the overlay grows during the run: ${got.steps}`);
    assert.equal(got.name, 'frames_labels');
    assert.equal(got.stopped, 'aborted');
    assert.match(got.few, /needs 2 volume\(s\) and 1/);
    assert.deepEqual(got.pair, { channels: 2, size: known.length, first: true, second: true });
    [/other and .* are not on one grid/, /colours for voxels/, /frame 2 of .* is not loaded/, /empty has no voxels yet/].forEach((text, i) => assert.match(got.refusals[i], text));
    assert.equal(got.left, 0);
    await page.screenshot({ path: `${out}niivue-${version}.png` });
    const volumes = await page.evaluate(async () => {
      const { nv, labels, segmenter } = globalThis.shown;
      await labels.dispose();
      await labels.dispose();
      segmenter.dispose();
      return [nv.volumes.length, labels.result.labels.length];
    });
    assert.deepEqual(volumes, [1, known.length]);
  }
  assert.deepEqual(problems, []);
  await context.close();
});
