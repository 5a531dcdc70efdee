// Scans of several channels in the app: which volume of a file is which channel, and each to be looked at.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { LONG, accessible, count, opened, saved, segmented, shown, written } from './app.mjs';
import { open } from './browser.mjs';
import { floats, labels as labelsOf } from './nifti.mjs';
import { out, pages } from './page.mjs';
import { nifti, series } from './synthetic.mjs';
import { tinyNetwork } from './tiny.mjs';

const tab = pages();
const CHANNELS = ['T1', 'FLAIR'];
/** Volumes whose values tell which one it is: all about 1000 times their number. */
const volume = (frames) => nifti([32, 32, 32, frames], (x, y, z, t) => 1000 * (t + 1) + ((x + y + z) % 7));

let app;
let page;
const text = (selector) => page.textContent(selector);
/** Moves the crosshair to and fro until it is on this volume: what was shown before is read out until the next one is there. */
const seen = async (number) => {
  await page.focus('#view');
  for (let i = 0; i < 200; i += 1) {
    await page.keyboard.press(i % 2 ? 'ArrowDown' : 'ArrowUp');
    await page.waitForTimeout(100);
    const value = Number(/mm\s+(-?[\d.]+)/.exec(await text('#location'))?.[1]);
    if (Math.floor(value / 1000) === number) return;
  }
  assert.fail(`volume ${number} is not shown: ${await text('#location')}`);
};
const labels = () => page.$$eval('#channel option', (all) => all.map((o) => o.textContent));

before(async () => {
  await tab.started;
  app = await open(tab.browser, `${tab.server.url}/`, { viewport: { width: 1280, height: 800 } });
  ({ page } = app);
  await page.locator('body[data-phase=result]').waitFor(LONG);
  const { weights, fields } = tinyNetwork(CHANNELS);
  await page.setInputFiles('#model-input', written({ 'tiny.safetensors': weights, 'package.json': JSON.stringify(fields) }));
  await page.waitForFunction(() => /Takes T1, FLAIR/.test(document.querySelector('#model-facts').textContent), null, LONG);
});
after(() => app?.context.close());

test('a file with one volume for each channel is taken as it is, and each channel is shown', async () => {
  await page.setInputFiles('#scan-input', written({ 'both.nii': volume(2) }));
  await opened(page, 'both.nii');
  assert.equal(await page.isVisible('#channel-field'), true);
  assert.deepEqual(await labels(), ['both_T1.nii', 'both_FLAIR.nii']);
  await seen(1);
  await page.selectOption('#channel', '1');
  await seen(2);
  assert.match(await text('#plan'), /1 window of 32 × 32 × 32/);
});

test('of a file with more volumes than channels two are chosen, and the model gets these', async () => {
  await page.setInputFiles('#scan-input', written({ 'many.nii': volume(5) }));
  await page.locator('#choice[open]').waitFor(LONG);
  assert.match(await text('#choice-title'), /needs 2 frames/);
  const rows = await page.$$eval('#choice select', (all) => all.map((s) => [s.name, s.options.length]));
  assert.deepEqual(rows, [['T1', 5], ['FLAIR', 5]]);
  await page.selectOption('#choice select >> nth=0', '3');
  await page.selectOption('#choice select >> nth=1', '0');
  await page.screenshot({ path: `${out}app-frames.png` });
  await page.click('#choice button[value=ok]');
  await opened(page, 'many_frame4.nii, many_frame1.nii');
  assert.match(await text('#scan-notes'), /of 5 frames: 4, 1/);
  await seen(4);
  await page.selectOption('#channel', '1');
  await seen(1);
  await segmented(page);
  const record = await page.evaluate(() => document.querySelector('#legend').textContent);
  assert.match(record, /\d/);
});

test('a map of uncertainty lies over the scan, is read out, saved, and told for each label', async () => {
  await page.check('#ask-uncertainty');
  await segmented(page);
  await page.waitForFunction(() => / uncertainty [01]\.\d\d$/.test(document.querySelector('#location').textContent), null, LONG);
  const labels = labelsOf((await saved(page, '#save-labels')).bytes);
  const file = await saved(page, '#save-uncertainty');
  assert.match(file.name, /_uncertainty\.nii\.gz$/);
  const map = floats(file.bytes);
  assert.deepEqual(map.dims, labels.dims);
  const told = await page.$$eval('#legend tr', (all) => all.map((r) => [Number(r.dataset.value), r.querySelector('.uncertainty').textContent]));
  for (const [value, text] of told) {
    const own = map.data.filter((_, i) => labels.data[i] === value);
    assert.equal(text, own.length === 0 ? '–' : (own.reduce((a, b) => a + b) / own.length).toFixed(2));
  }
  // Without the labels, whose borders have colours too.
  await page.click('#view-menu-button');
  await page.uncheck('#labels-shown');
  await page.keyboard.press('Escape');
  const coloured = async () => count(await shown(page), (r, g, b) => r - b > 90 && r - g > 40);
  const drawn = await coloured();
  await page.screenshot({ path: `${out}app-uncertainty.png` });
  await accessible(page, 'uncertainty');
  await page.click('#view-menu-button');
  await page.uncheck('#uncertainty');
  await page.keyboard.press('Escape');
  const without = await coloured();
  await page.click('#view-menu-button');
  await page.check('#labels-shown');
  await page.keyboard.press('Escape');
  assert.ok(drawn > 2000 && without < 0.2 * drawn, `${drawn} pixels with it, ${without} without`);
  await page.uncheck('#ask-uncertainty');
});

test('of more files than channels, and of more series, each channel gets what its name says', async () => {
  const files = Object.fromEntries(['T2', 'FLAIR', 'T1'].map((name, i) => [`brain_${name}.nii`, nifti([32, 32, 32], (x, y, z) => 1000 * (i + 1) + ((x + y + z) % 7))]));
  await page.setInputFiles('#scan-input', written(files));
  await page.locator('#choice[open]').waitFor(LONG);
  assert.match(await text('#choice-title'), /needs 2 channels/);
  await page.click('#choice button[value=ok]');
  await opened(page, 'brain_T1.nii, brain_FLAIR.nii');
  await seen(3);
  await page.selectOption('#channel', '1');
  await seen(2);

  const slices = (uid, description, n) => series({ uid, description, rows: 32, columns: 32, slices: 32, value: (x, y, z) => 1000 * n + ((x + y + z) % 7) });
  await page.setInputFiles('#scan-input', written({ ...slices('1.2.3.21', 'ax FLAIR', 4), ...slices('1.2.3.22', 'ax T1 post', 5), ...slices('1.2.3.23', 'ax DWI', 6) }));
  await page.locator('#choice[open]').waitFor(LONG);
  assert.match(await text('#choice-title'), /needs 2 series/);
  await page.screenshot({ path: `${out}app-channel-series.png` });
  assert.deepEqual(await page.$$eval('#choice select', (all) => all.map((s) => s.selectedOptions[0].textContent)), ['ax T1 post (MR, 32 files)', 'ax FLAIR (MR, 32 files)']);
  await page.click('#choice button[value=ok]');
  await page.waitForFunction(() => !document.querySelector('#choice').open && document.body.dataset.phase === 'ready', null, LONG);
  await seen(5);
  await page.selectOption('#channel', '1');
  await seen(4);
});

test("an expert's labels that are drawn before a run are compared with its result", async () => {
  await page.setInputFiles('#scan-input', written({ 'both.nii': volume(2) }));
  await opened(page, 'both.nii');
  await page.setInputFiles('#scan-input', written({ 'expert.nii': nifti([32, 32, 32], (x, y, z) => Number(Math.hypot(x - 15, y - 15, z - 15) < 9), { type: 'uint8' }) }));
  await page.locator('#choice[open]').waitFor(LONG);
  await page.click('#choice button[value=draw]');
  await page.locator('#drawn').waitFor(LONG);
  await segmented(page);
  await page.locator('#comparison').waitFor(LONG);
  assert.match(await text('#comparison-of'), /expert\.nii, drawn as a dashed line/);
  assert.equal(await page.isVisible('#drawn'), false);
  assert.deepEqual(app.problems, []);
});
