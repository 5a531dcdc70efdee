// The web app from scan to labels. Screenshots are left in tests/out.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { LABELS, LONG, images, ready, saved, segmented, words } from './app.mjs';
import { labels } from './nifti.mjs';
import { ROI, SHIPPED, out, pages, root } from './page.mjs';

const tab = pages();

test('a sample is ready, is segmented without a network, looked at, compared and saved', async () => {
  const { page, problems, context } = await ready(tab, { permissions: ['clipboard-read', 'clipboard-write'] });
  const text = (id) => page.textContent(id);
  assert.match(await text('#adapter'), /swiftshader: software/);
  assert.equal(await text('#scan-name'), 'hippocampus_250.nii.gz');
  assert.match(await text('#scan-facts'), /35 × 51 × 36 voxels of 1 × 1 × 1 mm/);
  await page.waitForFunction(() => /about/.test(document.querySelector('#plan').textContent), null, LONG);
  assert.match(await text('#plan'), new RegExp(`\\d+ windows? of ${ROI.join(' × ')}, \\d+ MiB on the GPU, about [\\d.]+ s`));
  assert.match(await text('#models option'), new RegExp(`${Math.ceil(SHIPPED.bytes / 2 ** 20)} MiB · .+ · [\\d.]+ s a window`));
  assert.match(await text('footer'), /Research use only\. Not a medical device\./);
  await page.screenshot({ path: `${out}app-ready.png` });

  const asked = tab.server.log.length;
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await context.setOffline(true);
  await page.keyboard.press('s');
  assert.ok(await page.isVisible('#running'));
  await page.waitForFunction(() => /scan|window/i.test(document.querySelector('#progress-text').textContent), null, { ...LONG, polling: 50 });
  await page.screenshot({ path: `${out}app-running.png` });
  await page.locator('#result').waitFor(LONG);
  const rows = await page.$$eval('#legend tr', (all) => all.map((r) => [r.cells[0].textContent, r.cells[1].textContent, r.querySelector('rect').getAttribute('fill')]));
  assert.deepEqual(rows.map((r) => [r[0].replace(/ at the edge$/, ''), r[2]]), LABELS.map((l) => [words(l.name), l.color]));
  assert.ok(rows.every((r) => Number(r[1]) > 0.5), `volumes ${rows.map((r) => r[1])}`);
  assert.equal(await text('#message'), '');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-result.png` });

  const file = await saved(page, '#save-labels');
  assert.equal(file.name, 'hippocampus_250_labels.nii.gz');
  const first = labels(file.bytes).data.filter((l) => l === LABELS[0].value).length;
  assert.equal((first / 1000).toFixed(2), rows[0][1]);
  const csv = await saved(page, '#save-csv');
  assert.match(csv.bytes.toString(), new RegExp(`${LABELS[0].name},${LABELS[0].value},,volume,ml,`));
  assert.equal(JSON.parse((await saved(page, '#save-json')).bytes)[LABELS[0].name].voxels, first);

  const whole = await saved(page, '#save-image');
  assert.equal(whole.bytes.subarray(1, 4).toString(), 'PNG');
  await page.click('#legend tr:nth-child(2) button');
  assert.equal(await page.getAttribute('#legend tr:nth-child(2) button', 'aria-pressed'), 'true');
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${out}app-alone.png` });
  const alone = await saved(page, '#save-image');
  assert.ok(!alone.bytes.equals(whole.bytes), 'one label alone looks different');
  await page.click('#legend tr:nth-child(2) button');
  await page.fill('#opacity', '0');
  await page.waitForTimeout(500);
  assert.ok(!(await saved(page, '#save-image')).bytes.equals(alone.bytes), 'opacity changes the picture');
  await page.fill('#opacity', '0.6');

  await page.click('#expert');
  await page.locator('#comparison').waitFor();
  const scores = await page.$$eval('#comparison-rows tr', (all) => all.map((r) => [...r.cells].map((c) => c.textContent)));
  assert.deepEqual(scores.map((r) => r[0]), LABELS.map((l) => words(l.name)));
  for (const [name, dice, hd95, ml] of scores) {
    assert.ok(Number(dice) > 0.7 && Number(dice) < 1, `${name}: Dice ${dice}`);
    assert.ok(Number(hd95) > 0 && Number(hd95) < 10 && Number(ml) > 0.5, `${name}: HD95 ${hd95}, ${ml} ml`);
  }
  await page.screenshot({ path: `${out}app-compared.png` });
  await page.setInputFiles('#reference-input', `${root}tests/data/hippocampus/labels/hippocampus_087.nii.gz`);
  await page.locator('#message').waitFor();
  assert.match(await text('#message'), /the scan and hippocampus_087\.nii\.gz must lie on one grid: they have .* voxels/);

  await page.click('#adapter');
  await page.click('#copy');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /adapter +google swiftshader \(software: runs on the CPU\)/);
  assert.match(copied, /last run +\d+ window/);
  assert.match(copied, /memory +\d+ MiB on the GPU, \d+ MiB of WebAssembly/);
  await page.screenshot({ path: `${out}app-diagnostics.png` });
  assert.match(await text('#kept'), new RegExp(`1 model\\(s\\) kept in this browser, ${(SHIPPED.bytes / 2 ** 20).toFixed(0)} MiB`));
  await page.click('#clear-models');
  await page.waitForFunction(() => /No models/.test(document.querySelector('#kept').textContent));
  await page.click('#close');
  assert.deepEqual(requests.filter((url) => !url.startsWith('blob:')), [], 'nothing was asked for after the page was loaded');
  assert.equal(tab.server.log.length, asked);
  assert.deepEqual(problems, []);
  await context.close();
});

test('after one visit the page works without a network', async () => {
  const { page, problems, context } = await ready(tab);
  await context.setOffline(true);
  tab.server.log.length = 0;
  await page.reload();
  await page.locator('#segment:enabled').waitFor(LONG);
  await segmented(page);
  assert.ok(Number(await page.textContent('#legend tr:first-child .number')) > 0.5);
  await page.goto(`${tab.server.url}/?scan=samples/hippocampus_250.nii.gz`);
  await page.locator('#segment:enabled').waitFor(LONG);
  // Browsers look for a newer service worker whenever they can.
  assert.deepEqual(tab.server.log.filter(({ path }) => path !== '/sw.js'), []);
  assert.deepEqual(problems, []);
  await context.close();
});

test('a run is cancelled by a key, bad files are named, and the next run is right', async () => {
  const { page, problems, context } = await ready(tab);
  await page.selectOption('#overlap', '0.75');
  await page.click('#segment');
  assert.ok(await page.isVisible('#cancel'));
  await page.keyboard.press('Escape');
  await page.locator('#segment').waitFor();
  assert.equal(await page.isVisible('#message'), false);

  const drop = (...drops) => page.evaluate(async (drops) => {
    for (const files of drops) {
      const data = new DataTransfer();
      for (const [name, content] of Object.entries(files)) {
        data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
      }
      dispatchEvent(Object.assign(new Event('drop', { cancelable: true }), { dataTransfer: data }));
      // The first is being read when the next comes.
      await new Promise((resolve) => { setTimeout(resolve); });
    }
  }, drops);
  const letter = btoa('Dear reader,');
  await drop({ 'letter.nii': letter });
  await page.locator('#message').waitFor();
  assert.match(await page.textContent('#message'), /letter\.nii: not a NIfTI file/);
  assert.equal(await page.textContent('#scan-name'), 'hippocampus_250.nii.gz');
  await page.screenshot({ path: `${out}app-bad-scan.png` });
  // With a model that fails its scan is not opened either.
  await drop({ 'weights.safetensors': btoa('none'), 'letter.nii': letter });
  await page.waitForFunction(() => /safetensors/.test(document.querySelector('#message').textContent));
  assert.ok((await page.textContent('#models option:checked')).startsWith(words(SHIPPED.package.name)));

  // Of two at once the last is opened, and what is wrong with the other is of no interest.
  const another = await readFile(`${images}hippocampus_087.nii.gz`, 'base64');
  await drop({ 'letter.nii': letter }, { 'hippocampus_087.nii.gz': another });
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent === 'hippocampus_087.nii.gz');
  await page.locator('#segment:enabled').waitFor();
  assert.equal(await page.isVisible('#message'), false);
  assert.equal(await page.isVisible('#expert'), false, 'these experts saw another scan');
  await segmented(page);
  assert.ok(Number(await page.textContent('#legend tr:first-child .number')) > 0.5);
  assert.deepEqual(problems, []);
  await context.close();
});

test('another model brings its own sample, and agrees with the labels that are known for it', async (t) => {
  const { page, problems, context } = await ready(tab);
  await page.selectOption('#models', { index: 1 });
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent === 'IXI034.nii.gz', null, LONG);
  assert.match(await page.textContent('#scan-facts'), /120 × 120 × 90 voxels of 2 × 2 × 2 mm/);
  assert.equal(await page.textContent('#expert'), 'DLMUSE labels');
  await page.locator('#segment:enabled').waitFor(LONG);
  await segmented(page);
  await page.click('#expert');
  await page.locator('#comparison').waitFor(LONG);
  const scores = await page.$$eval('#comparison-rows tr', (all) => all.map((r) => [r.cells[0].textContent, Number(r.cells[1].textContent)]));
  t.diagnostic(scores.map(([name, dice]) => `${name} ${dice}`).join(', '));
  assert.equal(scores.length, 8);
  for (const name of ['cerebral white matter', 'cerebellum', 'brain stem']) {
    assert.ok(scores.find(([n]) => n === name)[1] > 0.8, `${name}: ${scores}`);
  }
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-brain.png` });
  // A scan of the user's stays when the model changes.
  await page.setInputFiles('#scan-input', `${images}hippocampus_087.nii.gz`);
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent === 'hippocampus_087.nii.gz', null, LONG);
  await page.selectOption('#models', { index: 0 });
  await page.waitForFunction((name) => document.querySelector('#model-facts').textContent.includes(name), words(LABELS[0].name), LONG);
  assert.equal(await page.textContent('#scan-name'), 'hippocampus_087.nii.gz');
  assert.deepEqual(problems, []);
  await context.close();
});

test('a result appears as its windows finish', async () => {
  const { page, problems, context } = await ready(tab, {}, '/?scan=/repo/tests/data/nifti-orientations/PIL.nii.gz');
  const total = Number(/^(\d+) windows/.exec(await page.textContent('#plan'))[1]);
  const canvas = page.locator('#view');
  await page.waitForTimeout(1000);
  const before = await canvas.screenshot();
  await page.click('#segment');
  await page.waitForFunction((n) => Number(/Window (\d+)/.exec(document.querySelector('#progress-text').textContent)?.[1]) >= n, Math.ceil(total * 0.7), LONG);
  await page.waitForTimeout(500);
  const during = await canvas.screenshot({ path: `${out}app-part.png` });
  await page.locator('#result').waitFor(LONG);
  await page.waitForTimeout(1000);
  assert.ok(!during.equals(before), 'labels are seen before the end');
  assert.ok(!(await canvas.screenshot()).equals(during), 'and more at the end');
  assert.deepEqual(problems, []);
  await context.close();
});
