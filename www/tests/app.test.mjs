// The web app, used as a person would: by clicks and keys. Screenshots are left in tests/out.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch, open } from './browser.mjs';
import { labels } from './nifti.mjs';
import { serve } from './server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const out = fileURLToPath(new URL('out/', import.meta.url));
const images = `${root}tests/data/hippocampus/images/`;
const LONG = { timeout: 120_000 };

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

async function ready(options) {
  const opened = await open(browser, server.url, { viewport: { width: 1280, height: 800 }, ...options });
  await opened.page.locator('#segment:enabled').waitFor(LONG);
  await opened.page.waitForFunction(() => document.querySelector('#scan-name').textContent !== '…');
  return opened;
}

async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

test('a sample is ready, is segmented without a network, looked at and saved', async () => {
  const { page, problems, context } = await ready({ permissions: ['clipboard-read', 'clipboard-write'] });
  const text = (id) => page.textContent(id);
  assert.match(await text('#adapter'), /swiftshader: software/);
  assert.equal(await text('#scan-name'), 'hippocampus_250.nii.gz');
  assert.match(await text('#scan-facts'), /35 × 51 × 36 voxels of 1 × 1 × 1 mm/);
  assert.match(await text('#plan'), /1 window of 48 × 64 × 48, \d+ MiB/);
  assert.match(await text('footer'), /Research use only\. Not a medical device\./);
  await page.screenshot({ path: `${out}app-ready.png` });

  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await context.setOffline(true);
  await page.keyboard.press('s');
  await page.locator('#running').waitFor();
  assert.match(await text('#progress-text'), /scan|window/i);
  await page.screenshot({ path: `${out}app-running.png` });
  await page.locator('#result').waitFor(LONG);
  const rows = await page.$$eval('#legend tr', (all) => all.map((r) => [r.cells[0].textContent, r.cells[1].textContent, r.querySelector('rect').getAttribute('fill')]));
  assert.deepEqual(rows.map((r) => [r[0], r[2]]), [['hippocampus anterior', '#e0a040'], ['hippocampus posterior', '#40a0e0']]);
  assert.ok(rows.every((r) => Number(r[1]) > 0.5), `volumes ${rows.map((r) => r[1])}`);
  assert.equal(await text('#message'), '');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-result.png` });

  const file = await saved(page, '#save-labels');
  assert.equal(file.name, 'hippocampus_250_labels.nii.gz');
  const anterior = labels(file.bytes).data.filter((l) => l === 1).length;
  assert.equal((anterior / 1000).toFixed(2), rows[0][1]);
  const csv = await saved(page, '#save-csv');
  assert.match(csv.bytes.toString(), /hippocampus_anterior,1,,volume,ml,/);
  assert.equal(JSON.parse((await saved(page, '#save-json')).bytes).hippocampus_anterior.voxels, anterior);

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

  await page.click('#adapter');
  await page.click('#copy');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /adapter +google swiftshader \(software: runs on the CPU\)/);
  assert.match(copied, /last run +1 window in/);
  await page.screenshot({ path: `${out}app-diagnostics.png` });
  assert.match(await text('#kept'), /1 model\(s\) kept in this browser, 13 MiB/);
  await page.click('#clear-models');
  await page.waitForFunction(() => /No models/.test(document.querySelector('#kept').textContent));
  await page.click('#close');
  assert.deepEqual(requests.filter((url) => !url.startsWith('blob:')), [], 'nothing was asked for after the page was loaded');
  assert.deepEqual(problems, []);
  await context.close();
});

test('a run is cancelled by a key, bad files are named, and the next run is right', async () => {
  const { page, problems, context } = await ready();
  await page.selectOption('#overlap', '0.75');
  await page.click('#segment');
  await page.locator('#cancel').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#segment').waitFor();
  assert.equal(await page.isVisible('#message'), false);

  const drop = (name, content) => page.evaluate(([name, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([content], name));
    dispatchEvent(Object.assign(new Event('drop', { cancelable: true }), { dataTransfer: data }));
  }, [name, content]);
  await drop('letter.nii', 'Dear reader,');
  await page.locator('#message').waitFor();
  assert.match(await page.textContent('#message'), /letter\.nii: not a NIfTI file/);
  assert.equal(await page.textContent('#scan-name'), 'hippocampus_250.nii.gz');
  await page.screenshot({ path: `${out}app-bad-scan.png` });
  await drop('weights.safetensors', 'none');
  await page.waitForFunction(() => /safetensors/.test(document.querySelector('#message').textContent));
  assert.equal(await page.textContent('#model-name'), 'hippocampus-monai');

  await page.setInputFiles('#scan-input', [`${images}hippocampus_087.nii.gz`]);
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent === 'hippocampus_087.nii.gz');
  assert.equal(await page.isVisible('#message'), false);
  await page.click('#segment');
  await page.locator('#result').waitFor(LONG);
  assert.ok(Number(await page.textContent('#legend tr:first-child .number')) > 0.5);
  assert.deepEqual(problems, []);
  await context.close();
});

test('without WebGPU the page says so in plain words and still shows the scan', async () => {
  const context = await browser.newContext({ colorScheme: 'dark', viewport: { width: 1280, height: 800 } });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined }));
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent !== '…');
  assert.equal(await page.textContent('#adapter'), 'No WebGPU');
  assert.match(await page.textContent('#message'), /This browser has no WebGPU\. Use a current Chrome.*not segmented/);
  assert.equal(await page.isEnabled('#segment'), false);
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-no-webgpu-dark.png` });
  await context.close();
});

test('the page fits a phone and is named for assistive technology', async () => {
  const { page, context } = await ready({ viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
  const unnamed = await page.$$eval('button, input, select, canvas', (all) => all
    .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
    .map((e) => e.id));
  assert.deepEqual(unnamed, []);
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-phone-dark.png`, fullPage: true });
  await context.close();
});
