// Models of several files: folders and zips of other programs, in the package and dropped on the app.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { strToU8, zipSync } from 'fflate';

import { LONG, drag, saved, written } from './app.mjs';
import { open } from './browser.mjs';
import { out, pages } from './page.mjs';
import { tinyNetwork } from './tiny.mjs';

const tab = pages();
const { weights, fields } = tinyNetwork();
const { type, ...network } = fields.network;
const json = (value) => strToU8(JSON.stringify(value));
/** A MONAI bundle as its authors leave it, with what is none of the model beside it. */
const BUNDLE = {
  'configs/inference.json': json({
    network_def: { _target_: type, ...network },
    preprocessing: { _target_: 'Compose', transforms: [
      { _target_: 'LoadImaged', keys: 'image' }, { _target_: 'EnsureChannelFirstd', keys: 'image' },
      { _target_: 'NormalizeIntensityd', keys: 'image', nonzero: true, channel_wise: true },
    ] },
    inferer: { _target_: 'SlidingWindowInferer', roi_size: [32, 32, 32], sw_batch_size: 1, overlap: 0.5 },
    postprocessing: { _target_: 'Compose', transforms: [{ _target_: 'Activationsd', keys: 'pred', softmax: true }, { _target_: 'AsDiscreted', keys: 'pred', argmax: true }] },
  }),
  'configs/metadata.json': json({
    version: '0.3.1', monai_version: '1.6.1', task: 'Tissues', description: 'Finds them.',
    network_data_format: {
      inputs: { image: { modality: 'MR', num_channels: 2, channel_def: { 0: 'T1', 1: 'FLAIR' } } },
      outputs: { pred: { num_channels: 4, channel_def: { 0: 'background', 1: 'grey', 2: 'white', 3: 'csf' } } },
    },
  }),
  'models/model.pt': new Uint8Array(weights),
  'docs/picture.png': new Uint8Array(64),
  'samples/scan.nii.gz': new Uint8Array(64),
};
const inside = (files, folder = 'tiny-bundle') => Object.fromEntries(Object.entries(files).map(([path, bytes]) => [`${folder}/${path}`, bytes]));
const without = (files, path) => Object.fromEntries(Object.entries(files).filter(([name]) => name !== path));
/** For the page, where bytes come as text. */
const portable = (files) => Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes).toString('base64')]);

test('a folder and a zip of it are one model, and what is missing is named', async () => {
  const got = await tab.run(async ({ createSegmenter, importCheckpoint, noise, fail }, { files, broken, plans, zipped }) => {
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const record = (list) => Object.fromEntries(list.map(([path, text]) => [path, bytes(text)]));
    const scan = { ...noise([32, 32, 32]), channels: 2 };
    scan.data = Float32Array.from({ length: 2 * 32 ** 3 }, (_, i) => Math.sin(i * 0.37) + (i % 1024) / 1024);
    const run = async (options) => {
      const segmenter = await createSegmenter(options);
      const { model, labelTable } = segmenter;
      const { labels } = await segmenter.segment(scan);
      segmenter.dispose();
      return { name: model.name, imported: model.imported, channels: model.input.channels, names: labelTable.map((l) => l.name), labels };
    };
    const folder = await run({ model: record(files) });
    const zip = await run({ model: new Blob([bytes(zipped)]) });
    const listed = await run({ model: Object.entries(record(files)).map(([path, content]) => Object.defineProperty(new File([content], path.split('/').at(-1)), 'webkitRelativePath', { value: path })) });
    const { model: packaged } = await importCheckpoint(record(files));
    const kept = await run({ model: packaged });
    const same = [zip, listed, kept].map((other) => folder.labels.every((v, i) => v === other.labels[i]));
    const { name, imported, channels, names } = folder;
    const facts = { name, imported, channels, names };
    return {
      facts, same, imported: [zip.imported, kept.imported], kept: kept.name,
      missing: await fail(importCheckpoint(record(broken))),
      plans: await fail(importCheckpoint(record(plans))),
      prefix: await fail(createSegmenter({ model: record(files), prefix: 'x' })),
      nothing: await fail(createSegmenter({ model: {} })),
      again: await fail(createSegmenter({ model: [] })),
    };
  }, {
    files: portable(inside(BUNDLE)), broken: portable(inside(without(BUNDLE, 'models/model.pt'))),
    plans: portable({ 'Dataset/plans.json': json({}), 'Dataset/dataset.json': json({}), 'Dataset/fold_0/progress.png': new Uint8Array(8) }),
    zipped: Buffer.from(zipSync(inside(BUNDLE))).toString('base64'),
  });
  assert.deepEqual(got.facts, { name: 'tiny-bundle', imported: true, channels: ['T1', 'FLAIR'], names: ['grey', 'white', 'csf'] });
  assert.deepEqual(got.same, [true, true, true]);
  assert.deepEqual(got.imported, [true, false]);
  assert.equal(got.kept, 'tiny-bundle');
  assert.deepEqual([got.missing.code, got.plans.code], ['bad-model', 'bad-model']);
  assert.match(got.missing.message, /model\.pt/);
  assert.match(got.plans.message, /fold|plans|checkpoint/);
  assert.deepEqual([got.prefix.code, got.nothing.code, got.again.code], ['bad-input', 'bad-input', 'bad-input']);
  assert.match(got.prefix.message, /prefix/);
});

let app;
let page;
before(async () => {
  await tab.started;
  app = await open(tab.browser, `${tab.server.url}/`, { viewport: { width: 1280, height: 800 } });
  ({ page } = app);
  await page.locator('body[data-phase=result]').waitFor(LONG);
});
after(() => app?.context.close());

test('a folder dropped on the page, or a zip of it, is its model, and is saved as a package', async () => {
  const at = { x: 900, y: 450 };
  const [first] = written(inside(BUNDLE));
  await drag(page, [first.slice(0, first.indexOf('/configs'))], at);
  await page.waitForFunction(() => document.querySelector('#model-facts').textContent === 'Takes T1, FLAIR. Finds grey, white, csf.', null, LONG);
  assert.match(await page.textContent('#models option:checked'), /^tiny-bundle/);
  await page.locator('#assumed').waitFor();
  await page.screenshot({ path: `${out}app-folder-model.png` });
  await page.click('#assumed summary');
  const file = await saved(page, '#save-model');
  assert.equal(file.name, 'tiny-bundle.safetensors');
  assert.ok(file.bytes.includes('unetr/'));
  await drag(page, written({ 'zipped.zip': zipSync(inside(BUNDLE, 'other')) }), at);
  await page.waitForFunction(() => /^(zipped|other)/.test(document.querySelector('#models option:checked').textContent), null, LONG);
  const [broken] = written(inside(without(BUNDLE, 'models/model.pt'), 'half'));
  await drag(page, [broken.slice(0, broken.indexOf('/configs'))], at);
  await page.waitForFunction(() => /half is no model that this page can use: .*model\.pt/.test(document.querySelector('#message').textContent), null, LONG);
  assert.deepEqual(app.problems, []);
});
