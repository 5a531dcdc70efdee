// The rest of the web app: models, addresses, the benchmark, keys, and what it looks like. Screenshots are left in tests/out.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LABELS, LISTED, LONG, ready, saved, segmented, words } from './app.mjs';
import { open } from './browser.mjs';
import { out, pages, root } from './page.mjs';

const tab = pages();

test('a checkpoint is imported, asked about, segmented with and saved as a package', async () => {
  const { page, problems, context } = await ready(tab);
  await page.setInputFiles('#model-input', `${root}tests/golden/torch-checkpoints/plain-state-dict.pt`);
  await page.locator('#import').waitFor();
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${out}app-import.png` });
  const asked = await page.$$eval('#import-fields input', (all) => all.map((i) => i.name));
  assert.deepEqual(asked, ['network.img_size', 'network.num_heads']);
  await page.fill('#import-fields input >> nth=0', '32, 16, 16');
  await page.fill('#import-fields input >> nth=1', '2');
  await page.click('#import button[value=ok]');
  await page.locator('#assumed').waitFor(LONG);
  await page.locator('#segment:enabled').waitFor(LONG);
  assert.match(await page.textContent('#model-warnings'), /input\.channels is not given/);
  const file = await (async () => {
    await page.click('#assumed summary');
    return saved(page, '#save-model');
  })();
  assert.match(file.name, /\.safetensors$/);
  assert.ok(file.bytes.includes('unetr/1'));
  await segmented(page);
  assert.equal(await page.$$eval('#models option', (all) => all.length), LISTED + 1);
  await page.selectOption('#models', { index: 0 });
  await page.waitForFunction((name) => document.querySelector('#model-facts').textContent.includes(name), words(LABELS[0].name), LONG);
  assert.equal(await page.isVisible('#assumed'), false);
  assert.deepEqual(problems, []);
  await context.close();
});

test('the benchmark page measures and reports', async () => {
  const { page, problems, context } = await open(tab.browser, `${tab.server.url}/bench.html?repeats=2`, { viewport: { width: 1280, height: 800 } });
  await page.click('#run');
  const { error, bench } = await (await page.waitForFunction(() => globalThis.measured, null, LONG)).jsonValue();
  assert.equal(error, undefined);
  assert.equal(bench.repeatsMs.length, 2);
  const report = await page.textContent('#report');
  assert.match(report, /adapter +google swiftshader \(software: runs on the CPU\)/);
  assert.match(report, /window +[\d.]+ ms, lower median of 2/);
  for (const op of ['conv3d', 'attention', 'conv_transpose3d', 'linear']) assert.match(report, new RegExp(`^${op} .*\\d\\.\\d+`, 'm'));
  assert.deepEqual(problems, []);
  await context.close();
});

test('scan and model are opened by address, of this site only', async () => {
  const scan = '/repo/tests/data/hippocampus/images/hippocampus_087.nii.gz';
  const { page, problems, context } = await ready(tab, {}, `/?scan=${scan}&model=/repo/models/hippocampus.safetensors`);
  assert.equal(await page.textContent('#scan-name'), 'hippocampus_087.nii.gz');
  assert.equal(await page.$$eval('#models option', (all) => all.length), LISTED + 1);
  await page.goto(`${tab.server.url}/?scan=https://example.com/scan.nii.gz&model=https://example.com/model.safetensors`);
  await page.waitForFunction(() => /of this site/.test(document.querySelector('#message').textContent), null, LONG);
  // The sample is there instead.
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent === 'hippocampus_250.nii.gz', null, LONG);
  await page.waitForFunction(() => /timed|about/.test(document.querySelector('#plan').textContent), null, LONG);
  const message = await page.textContent('#message');
  assert.ok(['scan.nii.gz', 'model.safetensors', 'instead'].every((word) => message.includes(word)), `it stays to be read: ${message}`);
  assert.deepEqual(problems, []);
  await context.close();
});

test('without WebGPU the page says so in plain words and still shows the scan', async () => {
  const context = await tab.browser.newContext({ colorScheme: 'dark', viewport: { width: 1280, height: 800 } });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined }));
  const page = await context.newPage();
  await page.goto(tab.server.url);
  await page.waitForFunction(() => document.querySelector('#scan-name').textContent !== '…');
  assert.equal(await page.textContent('#adapter'), 'No WebGPU');
  assert.match(await page.textContent('#message'), /This browser has no WebGPU\. Use a current Chrome.*not segmented/);
  assert.equal(await page.isEnabled('#segment'), false);
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-no-webgpu-dark.png` });
  await context.close();
});

test('keys reach everything, and move the crosshair', async () => {
  const { page, problems, context } = await ready(tab);
  await page.focus('#segment');
  await page.keyboard.press('Enter');
  // At once: while shaders are compiled no frame is drawn, and waiting for what is seen waits for frames.
  assert.ok(await page.isVisible('#running'));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'cancel', 'the focus stays with the run');
  await page.locator('#result').waitFor(LONG);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'segment', 'and returns');
  const reached = new Set();
  for (let i = 0; i < 60; i += 1) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent));
  }
  for (const id of ['adapter', 'open-scan', 'models', 'open-model', 'overlap', 'segment', 'only', 'opacity', 'compare', 'expert', 'save-labels', 'save-image', 'save-csv', 'save-json', 'view', 'Axial', '3-D']) {
    assert.ok(reached.has(id), `${id} is reached by Tab: ${[...reached]}`);
  }
  await page.focus('#view');
  const place = () => page.textContent('#location');
  // The first step goes to the middle of a voxel too.
  await page.keyboard.press('ArrowRight');
  const before = await place();
  await page.keyboard.press('ArrowRight');
  assert.notEqual(await place(), before);
  await page.keyboard.press('ArrowLeft');
  assert.equal(await place(), before);
  assert.ok(reached.has('open-folder'));
  await page.keyboard.press('d');
  await page.locator('#diagnostics').waitFor();
  await page.click('#self-test');
  await page.waitForFunction(() => /self-test +[1-9]\d* of \d+ kernels/.test(document.querySelector('#diagnostics-text').textContent), null, LONG);
  await page.keyboard.press('Escape');
  assert.equal(await page.isVisible('#diagnostics'), false);
  await page.click('#layout button[data-layout=volume]');
  await page.waitForTimeout(800);
  await page.screenshot({ path: `${out}app-volume.png` });
  assert.deepEqual(problems, []);
  await context.close();
});

test('where the first model was not loaded one is chosen, and arrow keys open none that lies on the way', async () => {
  // A service worker's requests could not be held up.
  const { page, problems, context } = await open(tab.browser, `${tab.server.url}/page`, { serviceWorkers: 'block' });
  await context.route('**/models/*.safetensors', () => {});
  await page.goto(tab.server.url);
  await page.click('#cancel');
  await page.locator('#models:enabled').waitFor();
  assert.equal(await page.textContent('#models option:checked'), 'Choose a model…');
  await context.unroute('**/models/*.safetensors');
  await page.focus('#models');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.inputValue('#models'), '0');
  await page.waitForTimeout(300);
  assert.equal(await page.isVisible('#running'), false);
  await page.keyboard.press('Enter');
  await page.locator('#segment:enabled').waitFor();
  assert.match(await page.textContent('#model-facts'), /million parameters/);
  assert.deepEqual(problems, []);
  await context.close();
});

for (const [kind, viewport] of [['desktop', { width: 1280, height: 800 }], ['phone', { width: 390, height: 844 }]]) {
  test(`${kind}, light and dark: readable, named, nothing cut off, nothing jumps`, async (t) => {
    const { page, context } = await ready(tab, { viewport, colorScheme: 'light' });
    await segmented(page);
    const unnamed = await page.$$eval('button, input, select, canvas', (all) => all
      .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
      .map((e) => e.id));
    assert.deepEqual(unnamed, []);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(1000);
      await page.screenshot({ path: `${out}app-${kind}-${colorScheme}.png`, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} px too wide`);
      const { low, jumps } = await page.evaluate(inspect);
      t.diagnostic(`${colorScheme}: least contrast ${low[0][0].toFixed(1)} of ${low[0][1]}; layout shift ${jumps.toFixed(3)}`);
      assert.ok(low[0][0] >= 4.5, `${colorScheme}, contrast: ${low.slice(0, 3).join('; ')}`);
      assert.ok(jumps < 0.1, `layout shift ${jumps}`);
    }
    await context.close();
  });
}

/** In the page: contrast of all visible text against what lies behind it, the least first, and how much the layout jumped. */
async function inspect() {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, behind(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
    if (!text || !element.checkVisibility() || element.matches(':disabled, script, option')) continue;
    const ground = behind(element);
    const [a, b] = [luminance(over(rgba(getComputedStyle(element).color), ground)), luminance(ground)];
    low.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40)]);
  }
  low.sort((a, b) => a[0] - b[0]);
  const jumps = await new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 200);
  });
  return { low, jumps };
}
