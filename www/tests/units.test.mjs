// Parts of the app that need no browser.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { zipSync } from 'fflate';

import { sort, stemOf, volumes } from '../app/files.js';
import { suggestions } from '../app/import.js';
import { distinct, middleOf, recounted } from '../app/labels.js';
import { explain } from '../app/messages.js';
import { isModelFolder, severalFiles } from '../app/model-files.js';
import { framesOf, labelGrid, parseHeader, readLabels } from '../app/nifti.js';
import { INITIAL, Store, phaseOf } from '../app/state.js';
import { glb, stl } from '../app/viewer/mesh-files.js';
import { surfaceOf } from '../app/viewer/surfaces.js';
import { fittingWindow, looksLikeCt } from '../app/viewer/window.js';
import { seriesOf } from '../app/series.js';
import { checkSource, modelSource } from '../package/sources.js';
import { nifti, series, tissue } from './synthetic.mjs';

const file = (name, bytes = new Uint8Array(8)) => new File([bytes], name);

test('one phase follows from the state, and no two are true', () => {
  const support = { webgpu: true };
  const job = (kind, phase) => ({ kind, name: '', progress: phase ? { phase } : null, controller: new AbortController() });
  const cases = [
    [{}, 'starting'], [{ support }, 'idle'], [{ support, job: job('scan') }, 'opening'], [{ support, job: job('model', 'download') }, 'opening'],
    [{ support, job: job('model', 'compile') }, 'compiling'], [{ support, job: job('run', 'compile'), plan: {} }, 'compiling'], [{ support, job: job('run', 'infer'), plan: {} }, 'running'],
    [{ support, plan: {} }, 'ready'], [{ support, plan: {}, result: {} }, 'result'], [{ support, plan: {}, result: {}, job: job('scan') }, 'opening'],
  ];
  for (const [state, phase] of cases) assert.equal(phaseOf({ ...INITIAL, ...state }), phase);
  const store = new Store();
  const seen = [];
  store.listen((state, before) => seen.push([before.overlap, state.overlap]));
  store.set({ overlap: '0.5' });
  assert.deepEqual(seen, [['', '0.5']]);
});

test('the middle of a label lies in the label, also where its centroid does not', () => {
  const dims = [9, 9, 3];
  const labels = new Uint8Array(9 * 9 * 3);
  // A ring around nothing: its centroid is in the hole.
  for (let x = 0; x < 9; x += 1) for (let y = 0; y < 9; y += 1) if (Math.abs(Math.hypot(x - 4, y - 4) - 3) < 0.6) labels[(x * 9 + y) * 3 + 1] = 2;
  const [x, y, z] = middleOf(labels, dims, 2);
  assert.equal(labels[(x * 9 + y) * 3 + z], 2);
  assert.equal(middleOf(labels, dims, 1), null);
  const [after] = recounted([{ value: 2, name: 'ring', voxels: 0, volume_ml: 0 }], labels, [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 1]]);
  assert.equal(after.volume_ml, after.voxels / 1000);
});

test('a grey label gets a colour that is seen over a scan, and like no other', () => {
  const table = ['#8c8c8c', '#e8e0d0', '#4070c0', '#e0a040', '#ffffff', '#60a060'].map((color, i) => ({ value: i + 1, name: `${i}`, color }));
  const got = distinct(table).map(({ color }) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16)));
  assert.deepEqual(distinct(table).filter((l, i) => l.color === table[i].color).map((l) => l.value), [3, 4, 6]);
  for (const [i, a] of got.entries()) {
    assert.ok(Math.max(...a) - Math.min(...a) >= 40, String(a));
    for (const b of got.slice(i + 1)) assert.ok(Math.max(...a.map((v, k) => Math.abs(v - b[k]))) > 40, `${a} and ${b}`);
  }
  const alone = distinct([{ value: 1, name: 'only', color: '#808080' }]);
  assert.match(alone[0].color, /^#[0-9a-f]{6}$/);
  assert.deepEqual(distinct(table.slice(2, 4)), table.slice(2, 4));
});

test('a label file is told from a scan, and frames are taken out whole', async () => {
  const dims = [24, 20, 16];
  const ball = (x, y, z) => (Math.hypot(x - 12, y - 10, z - 8) < 6 ? (x < 12 ? 1 : 2) : 0);
  assert.deepEqual(await labelGrid(file('a.nii', nifti(dims, ball, { type: 'uint8' }))), { dims, values: [1, 2] });
  assert.deepEqual((await labelGrid(file('b.nii', nifti(dims, ball))))?.values, [1, 2], 'also in 16 bits');
  assert.equal(await labelGrid(file('c.nii', nifti(dims, tissue))), null, 'a scan of whole numbers is none');
  assert.equal(await labelGrid(file('d.nii', nifti(dims, (x, y, z) => tissue(x, y, z) / 4, { type: 'uint8' }))), null, 'nor one of bytes');
  assert.equal(await labelGrid(file('e.nii', nifti(dims, () => 0))), null);
  assert.equal(await labelGrid(file('f.txt', new TextEncoder().encode('hello'))), null);
  const four = file('time.nii.gz', nifti([6, 5, 4, 3], (x, y, z, t) => 100 * t + x));
  const [second] = await framesOf(four, [1]);
  const bytes = Buffer.from(await second.arrayBuffer());
  assert.deepEqual(parseHeader(bytes).dims, [6, 5, 4, 1, 1, 1, 1]);
  assert.equal(second.name, 'time_frame2.nii');
  assert.deepEqual([bytes.readInt16LE(352), bytes.readInt16LE(354), bytes.length], [100, 101, 352 + 240]);
  const { labels } = await readLabels(file('g.nii', nifti([2, 3, 4], (x, y, z) => x + 2 * y + 6 * z, { type: 'uint8' })));
  assert.deepEqual(Array.from(labels.subarray(0, 4)), [0, 6, 12, 18], 'Z is contiguous');
});

test('a surface is closed, faces outwards, and encloses what the label has', () => {
  const dims = [40, 40, 40];
  const labels = new Uint8Array(64_000);
  for (let x = 0, at = 0; x < 40; x += 1) for (let y = 0; y < 40; y += 1) for (let z = 0; z < 40; z += 1, at += 1) labels[at] = Number(Math.hypot(x - 19, y - 19, z - 19) < 14);
  const voxels = labels.reduce((a, b) => a + b);
  for (const sign of [1, -1]) {
    const affine = [[sign * 2, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, -5], [0, 0, 0, 1]];
    const { points, triangles } = surfaceOf(labels, dims, affine, 1);
    const edges = new Map();
    let volume = 0;
    for (let t = 0; t < triangles.length; t += 3) {
      const [a, b, c] = triangles.subarray(t, t + 3);
      for (const [i, j] of [[a, b], [b, c], [c, a]]) edges.set(`${i} ${j}`, (edges.get(`${i} ${j}`) ?? 0) + 1);
      const p = [a, b, c].map((k) => Array.from(points.subarray(3 * k, 3 * k + 3)));
      volume += (p[0][0] * (p[1][1] * p[2][2] - p[1][2] * p[2][1]) - p[0][1] * (p[1][0] * p[2][2] - p[1][2] * p[2][0]) + p[0][2] * (p[1][0] * p[2][1] - p[1][1] * p[2][0])) / 6;
    }
    for (const [edge, n] of edges) {
      assert.equal(n, 1);
      assert.ok(edges.has(edge.split(' ').reverse().join(' ')), 'every edge has its other side');
    }
    assert.ok(Math.abs(volume / (2 * voxels) - 1) < 0.03, `${volume} of ${2 * voxels} mm3: outwards, and not shrunk`);
    const surfaces = [{ value: 1, points, triangles }];
    const printed = stl(surfaces);
    assert.equal(printed.length, 84 + 50 * triangles.length / 3);
    assert.match(Buffer.from(printed.subarray(0, 80)).toString(), /SPACE=RAS/);
    const scene = Buffer.from(glb(surfaces, [{ value: 1, name: 'ball', color: '#ff0000' }]));
    assert.equal(scene.toString('latin1', 0, 4), 'glTF');
    assert.equal(scene.readUInt32LE(8), scene.length);
    const json = JSON.parse(scene.toString('utf8', 20, 20 + scene.readUInt32LE(12)));
    assert.equal(json.meshes[0].name, 'ball');
    const [position, , indices] = json.accessors;
    assert.equal(position.count, points.length / 3);
    assert.equal(indices.count, triangles.length);
    assert.ok(indices.count % 3 === 0 && position.min.every((m, a) => m < position.max[a]));
    const { byteOffset } = json.bufferViews[0];
    assert.equal(scene.readFloatLE(28 + scene.readUInt32LE(12) + byteOffset), points[0]);
  }
  assert.equal(surfaceOf(labels, dims, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], 7), null);
});

test('what is no scan is said in the words of whoever opened it', () => {
  const header = { code: 'bad-input', message: 'notes.txt: not a NIfTI file: sizeof_hdr is 1819043176, 348 or 540 is needed' };
  const say = (error, ...files) => explain(error, files);
  assert.match(say(header, file('notes.txt')), /notes\.txt is a document, not a scan\. Open NIfTI/);
  assert.match(say(header, file('photo.JPG')), /photo\.JPG is a picture, not a scan/);
  const damaged = say({ code: 'bad-input', message: 'x.nii: not a NIfTI file: sizeof_hdr is 5, 348 or 540 is needed' }, file('x.nii'));
  assert.match(damaged, /x\.nii is not a scan that can be read here/);
  assert.doesNotMatch(damaged, /sizeof_hdr/);
  const study = { code: 'bad-input', message: 'dimensions of the scans of one study: expected [35, 51, 36], got [1, 2, 3]' };
  assert.match(say(study, file('a.nii'), file('b.nii')), /do not lie on one grid.*one study at a time/i);
  const large = { name: 'big.nii', size: 2.5e9 };
  assert.match(explain({ code: 'bad-input', message: 'big.nii cannot be read (permission problems): choose it again' }, [large]), /big\.nii has 2\.5 GB.*unetr segment/);
  assert.match(say({ code: 'bad-input', message: 'the volume needs 2916000000 bytes' }, file('a.nii')), /not enough memory/);
  assert.match(say({ code: 'network', message: 'downloading failed' }), /try again/);
});

test('names of what is saved tell the scan', () => {
  const slice = file('CT.1.3.12.2.1107.5.1.4.60064.30000022120808113428000016583');
  Object.defineProperty(slice, 'webkitRelativePath', { value: 'patient 7/abdomen/CT.1.3.12' });
  assert.equal(stemOf([slice]), 'abdomen');
  assert.equal(stemOf([file('head.nii.gz')]), 'head');
  assert.equal(stemOf([file('head.mha')]), 'head');
  assert.deepEqual(volumes([file('a.hdr'), file('b.nii'), file('a.img')]).map((v) => v.map((f) => f.name)), [['a.hdr', 'a.img'], ['b.nii']]);
  const { model, fields, scans } = sort([file('m.safetensors'), file('m.json'), file('a.nii'), file('README')]);
  assert.deepEqual([model.name, fields.name, scans.map((f) => f.name)], ['m.safetensors', 'm.json', ['a.nii']]);
  assert.deepEqual(sort([file('notes.txt')]).scans.map((f) => f.name), ['notes.txt'], 'what is alone is told about');
});

test('what a checkpoint leaves open is suggested', () => {
  const sizes = suggestions('network.img_size', 'voxels along X, Y, Z, multiples of 16 with 36 patches together');
  assert.ok(sizes.includes('48, 64, 48') || sizes.includes('48, 48, 64'), String(sizes));
  for (const size of sizes) assert.equal(size.split(', ').reduce((n, v) => n * Number(v) / 16, 1), 36);
  assert.equal(suggestions('network.num_heads', 'attention heads, a divisor of 768; 12 is usual')[0], '12');
  assert.ok(suggestions('network.num_heads', 'attention heads, a divisor of 192').every((n) => 192 % Number(n) === 0));
  assert.deepEqual(suggestions('network.norm_name', '["instance", {"affine": true}]'), []);
});

test('CT is opened in a soft-tissue window, other scans in their own', () => {
  const ct = { global_min: -1024, global_max: 1900, robust_min: -1000, robust_max: 1200 };
  const mr = { global_min: 0, global_max: 900, robust_min: 20, robust_max: 700 };
  assert.ok(looksLikeCt(ct) && !looksLikeCt(mr));
  assert.deepEqual(fittingWindow(ct), { level: 40, width: 400, preset: 'Soft tissue' });
  assert.deepEqual(fittingWindow(mr), { level: 360, width: 680, preset: 'Automatic' });
  assert.ok(fittingWindow({ global_min: 5, global_max: 5, robust_min: 5, robust_max: 5 }).width > 0);
});

test('the series of a heap of files are told apart, the largest first', async () => {
  const files = (options) => Object.entries(series({ rows: 8, columns: 6, value: tissue, ...options })).map(([name, bytes]) => file(name, bytes));
  const found = await seriesOf([
    ...files({ uid: '1.2.3.1', description: 'scout', slices: 2 }), file('letter.txt'), ...files({ uid: '1.2.3.2', description: 'T1 sagittal', slices: 5 }),
    ...files({ uid: '1.2.3.5', description: 'labels', modality: 'SEG', slices: 7 }),
  ]);
  assert.deepEqual(found.map((s) => [s.description, s.files.length, s.size, s.image]), [['T1 sagittal', 5, '6 × 8', true], ['scout', 2, '6 × 8', true], ['labels', 7, '6 × 8', false]]);
});

test('licences of what is shipped lie beside it', () => {
  const dist = new URL('../dist/', import.meta.url);
  const text = readFileSync(new URL('licences.txt', dist), 'utf8');
  for (const name of ['@niivue/niivue', 'gl-matrix', 'fflate', 'dicom-parser', 'wgpu', 'naga', 'hyper', 'clap']) assert.match(text, new RegExp(`^${name} \\d`, 'm'), name);
  assert.match(text, /Copyright \(c\) 2021, Niivue/);
  assert.ok(existsSync(new URL('../pkg/THIRD-PARTY.txt', import.meta.url)));
  assert.match(readFileSync(new URL('../pkg/THIRD-PARTY.txt', import.meta.url), 'utf8'), /^naga \d/m);
  assert.doesNotMatch(readFileSync(new URL('sw.js', dist), 'utf8'), /blosc|zstd|lz4/, 'codecs that are not used are not kept');
});

test('what the examples import is told to whoever copies them', () => {
  const folder = new URL('../examples/', import.meta.url);
  const told = readFileSync(new URL('README.md', folder), 'utf8');
  for (const name of ['niivue', 'cornerstone']) {
    const imports = [...readFileSync(new URL(`${name}/main.js`, folder), 'utf8').matchAll(/from '([^.'][^']*)'/g)].map((m) => m[1]);
    assert.ok(imports.length > 1);
    for (const it of imports.filter((i) => !/^unetr-wgpu\b/.test(i))) assert.match(told, new RegExp(`^npm install .*${it}\\b.*# ${name}$`, 'm'), it);
  }
  for (const it of ['events', 'url']) assert.match(told, new RegExp(`^npm install .*\\b${it}\\b.*# cornerstone$`, 'm'));
});

test('several files are known as one model by what only such folders hold', async () => {
  const paths = (text) => text.split(' ');
  for (const model of [
    'Dataset004/Trainer__Plans__3d_fullres/plans.json Dataset004/Trainer__Plans__3d_fullres/fold_0/checkpoint_final.pth',
    'bundle/configs/inference.json bundle/models/model.pt', 'configs/inference.yaml models/model.ts', 'fold_0/checkpoint_best.pth dataset.json',
  ]) assert.equal(isModelFolder(paths(model)), true, model);
  for (const scans of [
    'model.pt package.json', 'checkpoint_final.pth', 'sub-01/anat/sub-01_T1w.nii.gz dataset_description.json', 'imagesTr/a_0000.nii.gz dataset.json', 'study/1.dcm study/2.dcm',
  ]) assert.equal(isModelFolder(paths(scans)), false, scans);
  const zip = (files) => new File([zipSync(Object.fromEntries(files.map((path) => [path, new Uint8Array(4)])))], 'own.zip');
  const found = await severalFiles([zip(['b/configs/metadata.json', 'b/models/model.pt'])]);
  assert.deepEqual([found?.name, found?.model instanceof File], ['own', true], 'a zip is given as it is');
  assert.equal(await severalFiles([zip(['1.dcm', '2.dcm'])]), null);
  assert.equal(await severalFiles([file('broken.zip', new Uint8Array(100))]), null, 'whoever unpacks it says what is wrong');
});

test('the package reads of a folder what is model in it, by the paths below its root', () => {
  const blob = () => new Blob(['x']);
  const names = (model) => modelSource(model).folder?.files.map((f) => f.name);
  const folder = {
    'run/plans.json': blob(), 'run/dataset.json': blob(), 'run/fold_0/checkpoint_final.pth': blob(), 'run/fold_0/checkpoint_best.pth': blob(),
    'run/fold_1/checkpoint_best.pth': blob(), 'run/fold_0/validation/a.nii.gz': blob(), 'run/fold_0/progress.png': blob(), 'run/fold_0/validation/summary.json': blob(),
  };
  assert.deepEqual(names(folder), ['plans.json', 'dataset.json', 'fold_0/checkpoint_final.pth', 'fold_1/checkpoint_best.pth', 'fold_0/validation/summary.json']);
  assert.equal(modelSource(folder).folder?.name, 'run');
  assert.deepEqual(names({ 'plans.json': blob(), 'fold_0/checkpoint_final.pth': new Uint8Array(3) }), ['plans.json', 'fold_0/checkpoint_final.pth']);
  const one = new File(['x'], 'model.pt');
  assert.equal(modelSource([one]).blob, one, 'one file is that file');
  for (const wrong of [[], {}, { a: 'text' }, [one, 'text'], null, 7]) assert.throws(() => modelSource(wrong), (e) => e.code === 'bad-input', JSON.stringify(wrong));
  assert.throws(() => checkSource(modelSource(folder), { sha256: '0'.repeat(64) }), /sha256 is for a model of one file/);
});

test('voxels with X contiguous are turned, scaled, and turned back', async () => {
  const { floats, lay, xContiguous } = await import('../package/grid.js');
  // Off every tile, so that no edge is left out.
  const dims = [33, 5, 40];
  const [nx, ny, nz] = dims;
  const size = nx * ny * nz;
  const data = Int16Array.from({ length: 2 * size }, (_, i) => (i * 37) % 30_011);
  const out = floats({ data, channels: 2, dims, affine: [], contiguous: 'x', slope: 0.5, intercept: -3 });
  const labels = new Uint8Array(size);
  for (let x = 0; x < nx; x += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let z = 0; z < nz; z += 1) {
        for (const c of [0, 1]) assert.equal(out[c * size + (x * ny + y) * nz + z], 0.5 * data[c * size + x + nx * (y + ny * z)] - 3);
        labels[(x * ny + y) * nz + z] = (x + 3 * y + 7 * z) % 251;
      }
    }
  }
  const turned = xContiguous(labels, dims);
  for (const [x, y, z] of [[0, 0, 0], [32, 4, 39], [31, 2, 32], [5, 4, 0]]) assert.equal(turned[x + nx * (y + ny * z)], (x + 3 * y + 7 * z) % 251);
  const whole = new Uint8Array(size);
  lay({ begin: [30, 1, 7], extent: [3, 2, 4], labels: Uint8Array.from({ length: 24 }, (_, i) => i + 1) }, whole, dims);
  assert.deepEqual([whole.filter(Boolean).length, whole[30 + nx * (1 + ny * 7)], whole[32 + nx * (2 + ny * 10)]], [24, 1, 24]);
  const same = new Float32Array(8);
  assert.equal(floats({ data: same, channels: 1, dims: [2, 2, 2], affine: [], contiguous: 'z', slope: 1, intercept: 0 }), same);
});

test('volumes of a viewer are taken as they are, and what cannot be one is refused', async () => {
  const { scanInput } = await import('../package/sources.js');
  const affine = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
  const frames = Int16Array.from({ length: 16 }, (_, i) => i);
  const { voxels } = scanInput({ data: frames.subarray(8), dims: [2, 2, 2], affine, contiguous: 'x', slope: 2 });
  assert.deepEqual([voxels.data.constructor.name, voxels.data.byteLength, voxels.data.buffer.byteLength, voxels.data[0], voxels.slope, voxels.intercept], ['Int16Array', 16, 16, 8, 2, 0]);
  const refuse = (change, text) => assert.throws(() => scanInput({ data: frames, dims: [2, 2, 4], affine, ...change }), text);
  refuse({ contiguous: 'y' }, /contiguous is "y": it must be "x" or "z"/);
  refuse({ slope: Number.NaN }, /slope is NaN/);
  refuse({ data: new BigInt64Array(16) }, /BigInt64Array: give a typed array of numbers/);
});
