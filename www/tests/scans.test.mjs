// Scans of several files in the tab: DICOM series against the native program's labels, pairs, and the app from files to labels.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';

import { drag, opened, saved } from './app.mjs';
import { open } from './browser.mjs';
import { floats, labels, zContiguous } from './nifti.mjs';
import { native, out, pages, root, unetr } from './page.mjs';
import { part, sampleSeries } from './synthetic.mjs';
import { tinyPackage } from './tiny.mjs';

const tiny = tinyPackage();
const MODEL = '/tiny.safetensors';
const tab = pages({ [MODEL]: tiny.bytes });
const SERIES = `${out}hippocampus`;
const UID = '1.2.840.99999.1';
const LONG = { timeout: 300_000 };
// As text sorts them, which is not how they lie.
const NAMES = Array.from({ length: 52 }, (_, i) => `HippoCrop_${i + 1}.dcm`).sort();

before(() => {
  const folders = { hippocampus: sampleSeries(UID, 'HippoCrop'), other: sampleSeries('1.2.840.99999.2', 'other', [30, 20, 3]) };
  for (const [folder, files] of Object.entries(folders)) {
    mkdirSync(`${out}${folder}`, { recursive: true });
    for (const [name, bytes] of Object.entries(files)) writeFileSync(`${out}${folder}/${name}`, bytes);
  }
});

test('a series in any order gives the labels of the native program', async () => {
  const got = await tab.run(async ({ createSegmenter, scanToNifti, bytes, fail }, { MODEL, NAMES, UID }) => {
    const fetched = (folder, names) => Promise.all(names.map(async (name) => new File([await bytes(`/repo/www/tests/out/${folder}/${name}`)], name)));
    const files = await fetched('hippocampus', NAMES);
    const other = await fetched('other', ['other_1.dcm', 'other_2.dcm', 'other_3.dcm']);
    const segmenter = await createSegmenter({ model: MODEL });
    const plan = await segmenter.plan(files, { measure: false });
    const result = await segmenter.segment([...files, new File(['Dear reader,'], 'letter.txt')]);
    const several = await fail(segmenter.segment([...files, ...other]));
    const chosen = await segmenter.segment([...other, ...files], { series: UID });
    const missing = await fail(segmenter.plan(files.filter((f) => f.name !== 'HippoCrop_7.dcm')));
    const shown = await scanToNifti(files);
    segmenter.dispose();
    return {
      dims: result.dims, affine: result.affine, labels: Array.from(result.labels), file: Array.from(result.toNifti()), warnings: result.warnings,
      inputs: result.provenance.inputs, source: result.provenance.geometry.affine_source, planned: plan.scanDims,
      same: chosen.labels.every((v, i) => v === result.labels[i]), several, missing, nifti: Array.from(shown.nifti), doubts: shown.warnings,
    };
  }, { MODEL, NAMES, UID });
  const want = native(SERIES, tiny.path);
  const expected = zContiguous(want);
  const equal = expected.reduce((n, v, i) => n + (v === got.labels[i]), 0) / expected.length;
  assert.deepEqual([got.dims, got.planned], [[42, 57, 52], [42, 57, 52]]);
  assert.ok(equal >= 0.9999, `${equal}`);
  assert.ok(got.same);
  assert.deepEqual(labels(Uint8Array.from(got.file)).affine, want.affine);
  assert.deepEqual(got.affine, [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
  assert.match(got.warnings.join(), /left out as no DICOM: letter\.txt/);
  assert.deepEqual([got.inputs.length, got.inputs[0].file, got.source], [1, 'HippoCrop_1.dcm and 51 more', 'dicom']);
  assert.equal(got.several.code, 'bad-input');
  assert.match(got.several.message, /2 series.*HippoCrop", 52 image file\(s\).*3 image file\(s\)/);
  assert.match(got.missing.message, /1 slice\(s\) are missing.*between HippoCrop_6\.dcm and HippoCrop_8\.dcm are 2\.000 mm/);
  // What a viewer gets: unpacked, in 32 bits, X contiguous.
  const file = Buffer.from(got.nifti);
  const values = new Float32Array(Uint8Array.from(got.nifti.slice(file.readFloatLE(108))).buffer);
  const { value, dims: [nx, ny, nz] } = part();
  let sum = 0;
  for (let x = 0; x < nx; x += 1) for (let y = 0; y < ny; y += 1) for (let z = 0; z < nz; z += 1) sum += value(x, y, z);
  assert.equal(values.length, nx * ny * nz);
  assert.equal(values.reduce((a, b) => a + b, 0), sum);
  assert.deepEqual(got.doubts, []);
});

test('of several acquisitions in a series one is chosen by its number', async () => {
  const got = await tab.run(async ({ scanToNifti, bytes, fail }, { NAMES }) => {
    const files = await Promise.all(NAMES.map(async (name) => new File([await bytes(`/repo/www/tests/out/hippocampus/${name}`)], name)));
    // The same slices as another kind of image, one value higher: the word and the first pixel's lowest byte are changed.
    const other = await Promise.all(files.map(async (file) => {
      const data = new Uint8Array(await file.arrayBuffer());
      const text = new TextDecoder('latin1').decode(data);
      data.set(new TextEncoder().encode('PHASE'), text.indexOf('AXIAL'));
      data[data.length - 2 * 42 * 57] += 1;
      return new File([data], `phase ${file.name}`);
    }));
    const both = [...other, ...files];
    const [alone, first, second] = await Promise.all([scanToNifti(files), scanToNifti(both, { acquisition: 1 }), scanToNifti(both, { acquisition: [2] })]);
    const same = (a, b) => a.nifti.length === b.nifti.length && a.nifti.every((v, i) => v === b.nifti[i]);
    return {
      same: [same(first, alone), same(second, alone)], told: first.warnings,
      refused: await fail(scanToNifti(both)), third: await fail(scanToNifti(both, { acquisition: 3 })), none: await fail(scanToNifti(both, { acquisition: 0 })),
    };
  }, { NAMES });
  assert.deepEqual(got.same, [true, false]);
  assert.match(got.told.join(), /acquisition 1 of 2 is taken/);
  assert.equal(got.refused.code, 'bad-input');
  assert.match(got.refused.message, /2 acquisitions.*1: 52 image\(s\), Image Type .*AXIAL; 2: 52 image\(s\), Image Type .*PHASE/);
  assert.match(got.third.message, /no number 3/);
  assert.match(got.none.message, /options\.acquisition is 0/);
});

test('how undecided the model is: a map and a mean for each label, as the native program has them', async () => {
  const got = await tab.run(async ({ createSegmenter, bytes, fail }, { MODEL, SCAN }) => {
    const segmenter = await createSegmenter({ model: MODEL });
    const scan = new File([await bytes(SCAN)], 'scan.nii.gz');
    const told = await segmenter.segment(scan, { uncertainty: true });
    // It is asked for by each run.
    const plain = await segmenter.segment(scan);
    const wrong = await fail(segmenter.segment(scan, { uncertainty: 1 }));
    segmenter.dispose();
    return {
      map: Array.from(told.uncertainty), file: Array.from(told.uncertaintyToNifti()), csv: told.statisticsCsv(), means: told.statistics.map((s) => s.uncertainty),
      plain: [plain.uncertainty, plain.uncertaintyToNifti(), plain.statistics[0].uncertainty ?? null], same: plain.labels.every((v, i) => v === told.labels[i]), wrong: wrong.message,
    };
  }, { MODEL });
  const [path, table] = [`${out}uncertainty.nii.gz`, `${out}uncertainty.json`];
  execFileSync(unetr, ['segment', `${root}models/samples/hippocampus.nii.gz`, '-m', tiny.path, '-o', `${out}undecided.nii.gz`, '--save-uncertainty', path, '--statistics', table, '--force'], { stdio: 'pipe' });
  const want = zContiguous(floats(readFileSync(path)));
  const file = zContiguous(floats(Uint8Array.from(got.file)));
  assert.equal(got.map.length, want.length);
  assert.ok(Math.max(...want.map((v, i) => Math.abs(v - got.map[i]))) <= 1e-4, 'the map');
  assert.ok(want.some((v) => v > 0.5) && want.every((v) => v >= 0 && v <= 1));
  assert.ok(file.every((v, i) => v === got.map[i]), 'its file');
  const means = Object.values(JSON.parse(readFileSync(table, 'utf8'))).map((s) => s.uncertainty);
  means.forEach((mean, i) => assert.ok(Math.abs(mean - got.means[i]) <= 1e-4, `${means} and ${got.means}`));
  assert.match(got.csv, /,uncertainty,1,0\.\d+/);
  assert.deepEqual(got.plain, [null, null, null]);
  assert.ok(got.same, 'labels are the same with it');
  assert.match(got.wrong, /options\.uncertainty is 1: it must be true or false/);
});

test('pairs of header and image are channels in the order they are given', async () => {
  const got = await tab.run(async ({ scanToNifti, affine }) => {
    const pair = async (name, value) => {
      const { nifti } = await scanToNifti({ data: new Float32Array(8).fill(value), dims: [2, 2, 2], affine });
      const view = new DataView(nifti.buffer);
      const offset = view.getFloat32(108, true);
      view.setFloat32(108, 0, true);
      view.setUint8(345, 'i'.charCodeAt(0));
      return [new File([nifti.slice(0, 352)], `${name}.hdr`), new File([nifti.slice(offset)], `${name}.img`)];
    };
    const [z, a] = [await pair('z', 1), await pair('a', 2)];
    const { nifti } = await scanToNifti([z[1], a[0], z[0], a[1]]);
    const offset = new DataView(nifti.buffer).getFloat32(108, true);
    return Array.from(new Float32Array(nifti.buffer.slice(offset)));
  });
  assert.deepEqual(got, [...Array(8).fill(1), ...Array(8).fill(2)]);
});

test('the app shows and segments the files of a series', LONG, async () => {
  const { page, problems, context } = await open(tab.browser, `${tab.server.url}/?model=${MODEL}`, { viewport: { width: 1280, height: 800 } });
  await page.waitForFunction(() => /Takes MR/.test(document.querySelector('#model-facts').textContent), null, LONG);
  const name = 'hippocampus (52 files)';
  await page.setInputFiles('#folder-input', SERIES);
  await opened(page, name);
  await page.setInputFiles('#scan-input', `${root}models/samples/hippocampus.nii.gz`);
  await opened(page, 'hippocampus.nii.gz');
  // Dropped, a folder gives its name to what is saved as well.
  await drag(page, [SERIES], { x: 800, y: 400 });
  await opened(page, name);
  assert.match(await page.textContent('#scan-facts'), /42 × 57 × 52 voxels of 1 × 1 × 1 mm/);
  await page.click('#segment');
  await page.locator('#result').waitFor(LONG);
  assert.equal(await page.textContent('#message'), '');
  // The crosshair goes to the largest label, in the patient's coordinates, over a voxel of the scan.
  await page.waitForFunction(() => /^-\d+\.\d, -\d+\.\d, \d+\.\d mm +\d+ +\w/.test(document.querySelector('#location').textContent), null, LONG);
  const file = await saved(page, '#save-labels');
  assert.equal(file.name, 'hippocampus_labels.nii.gz');
  const written = labels(file.bytes);
  const want = native(SERIES, tiny.path);
  const equal = want.data.reduce((n, v, i) => n + (v === written.data[i]), 0) / want.data.length;
  assert.ok(equal >= 0.9999, `${equal}`);
  assert.deepEqual(problems, []);
  await context.close();
});
