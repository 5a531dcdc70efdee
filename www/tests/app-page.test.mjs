// What the web app looks like and how it is reached: by addresses, by keys, on a phone, without WebGPU or scripts, and for
// whoever cannot see it. Screenshots are left in tests/out.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HIPPOCAMPUS, LISTED, LONG, accessible, blank, opened, ready, written } from './app.mjs';
import { open } from './browser.mjs';
import { out, pages } from './page.mjs';
import { serve } from './server.mjs';
import { nifti, tissue } from './synthetic.mjs';
import { tinyPackage, tinyUnetr } from './tiny.mjs';

const tab = pages({ '/tiny.safetensors': tinyPackage().bytes, '/unetr.safetensors': tinyUnetr().bytes });
const DIMS = [40, 52, 36];

/** Layout shifts, text that is cut off, and a page that is wider than its window. */
async function fits(page) {
  return page.evaluate((width) => ({
    // A phone's window grows with a page that is too wide for it.
    wide: document.documentElement.scrollWidth - width,
    cut: [...document.querySelectorAll('button, option:checked')].filter((e) => e.checkVisibility() && e.tagName === 'BUTTON' && e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent),
  }), page.viewportSize().width);
}

test('desktop: by keys alone, in every state clean, light and dark, and labels shown beforehand are those that the model gives here', async (t) => {
  const { page, problems, context } = await ready(tab, {}, '/');
  await page.locator('body[data-phase=result]').waitFor(LONG);
  await page.click('#save-menu-button');
  const offered = await page.$$eval('#save-menu button', (all) => all.filter((e) => e.checkVisibility()).map((e) => ({ told: e.innerText.includes('after Segment'), off: e.disabled })));
  assert.ok(offered.some(({ off }) => off), 'a result made beforehand has no record');
  assert.ok(offered.every(({ told, off }) => told === off), 'what cannot be saved yet says why');
  await page.keyboard.press('Escape');
  // The smallest model: those of the others are compared by the native program.
  await page.selectOption('#models', await page.locator('#models option', { hasText: /^hippocampus-unet/ }).getAttribute('value'));
  await page.waitForFunction(() => document.querySelectorAll('#legend .ml').length === 2, null, LONG);
  await page.locator('#segment:enabled').waitFor(LONG);
  const volumes = () => page.$$eval('#legend .ml', (all) => all.map((c) => Number(c.textContent)));
  const beforehand = await volumes();
  await page.focus('#segment');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'cancel', 'the focus stays with the run');
  await page.locator('body[data-phase=compiling]').waitFor(LONG);
  await page.screenshot({ path: `${out}app-compiling.png` });
  await accessible(page, 'compiling');
  await page.locator('body[data-phase=running]').waitFor(LONG);
  await page.screenshot({ path: `${out}app-running.png` });
  await accessible(page, 'running');
  await page.locator('body[data-phase=result]').waitFor(LONG);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'segment', 'and returns');
  const here = await volumes();
  t.diagnostic(`${beforehand} ml beforehand, ${here} ml here: ${await page.textContent('#timing')}`);
  for (const [i, v] of here.entries()) assert.ok(Math.abs(v - beforehand[i]) <= 0.002 * beforehand[i] + 0.02, `${v} and ${beforehand[i]}`);
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-desktop-result.png` });
  await page.click('#legend tr:nth-child(1) .only');
  await accessible(page, 'isolated');
  const reached = new Set();
  for (let i = 0; i < 110; i += 1) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.dataset.layout || document.activeElement.dataset.tool || document.activeElement.className));
  }
  for (const id of ['adapter', 'help-button', 'open-scan', 'open-folder', 'models', 'card-button', 'open-model', 'overlap', 'segment', 'only', 'opacity', 'compare', 'save-menu-button', 'view-menu-button', 'view', 'axial', 'volume', 'brush', 'eraser', 'zoom-in']) {
    assert.ok(reached.has(id), `${id} is reached by Tab: ${[...reached]}`);
  }
  await page.focus('#save-menu-button');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'save-labels');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'save-image');
  await accessible(page, 'menu');
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.activeElement.id === 'save-menu-button');
  await page.focus('#view');
  const place = () => page.textContent('#location');
  // The first step goes to the middle of a voxel too.
  await page.keyboard.press('ArrowRight');
  const before = await place();
  await page.keyboard.press('ArrowRight');
  assert.notEqual(await place(), before);
  await page.keyboard.press('ArrowLeft');
  assert.equal(await place(), before);
  await page.keyboard.press('?');
  await page.locator('#help[open]').waitFor();
  await accessible(page, 'help');
  await page.keyboard.press('Escape');
  await page.keyboard.press('d');
  await page.locator('#diagnostics[open]').waitFor();
  await accessible(page, 'diagnostics');
  await page.keyboard.press('Escape');
  await page.click('#card-button');
  await accessible(page, 'card');
  await page.click('#card [data-close]');
  await page.click('#view-menu-button');
  await accessible(page, 'view');
  await page.click('#keys');
  await page.keyboard.press('Escape');
  await page.keyboard.press('d');
  assert.equal(await page.isVisible('#diagnostics'), false, 'single letters are off');
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${out}app-desktop-${colorScheme}.png` });
    assert.deepEqual(await fits(page), { wide: 0, cut: [] });
  }
  await page.click('[data-layout=volume]');
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${out}app-volume.png` });
  // Zoomed in to 200 % a window has half of its width and height: the picture leaves room for the rest.
  await page.setViewportSize({ width: 640, height: 400 });
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${out}app-zoomed.png` });
  assert.ok((await page.locator('#pictures').boundingBox()).height <= 320, 'the picture does not fill the window');
  for (const id of ['segment', 'save-menu-button', 'open-scan']) await page.click(`#${id}`, { trial: true });
  assert.equal((await fits(page)).wide, 0);
  assert.deepEqual(problems, []);
  await context.close();
});

test('phone: the picture stays in sight, fingers hit what they mean, no folders are offered', async () => {
  const { page, problems, context } = await ready(tab, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }, '/?model=/tiny.safetensors&scan=/samples/hippocampus.nii.gz');
  assert.equal(await page.isVisible('#open-folder'), false);
  const line = await page.$$eval('header > *', (all) => all.filter((e) => e.checkVisibility()).map((e) => e.getBoundingClientRect()).map((r) => Math.round(r.top + r.height / 2)));
  assert.ok(Math.max(...line) - Math.min(...line) < 8, `the header is one line: ${line}`);
  await page.tap('#segment');
  await page.locator('body[data-phase=result]').waitFor(LONG);
  await page.waitForTimeout(500);
  const { y, height } = await page.locator('#pictures').boundingBox();
  assert.ok(y >= 0 && height >= 280, `the picture lies at ${y}, ${height} high`);
  await page.evaluate(() => scrollTo(0, 0));
  await page.tap('#view-menu-button');
  const [pictures, menu] = [await page.locator('#pictures').boundingBox(), await page.locator('#view-menu').boundingBox()];
  const seen = Math.min(menu.y, pictures.y + pictures.height) - pictures.y;
  assert.ok(seen >= 0.9 * pictures.height, `of the picture ${seen} of ${pictures.height} are seen beside the menu`);
  await page.screenshot({ path: `${out}app-phone-view-menu.png` });
  await page.keyboard.press('Escape');
  const small = await page.$$eval('button, select', (all) => all.filter((e) => e.checkVisibility()).map((e) => ({ name: e.id || e.textContent, ...e.getBoundingClientRect().toJSON() })).filter((r) => r.height < 43.5 || r.width < 43.5).map((r) => `${r.name} ${r.width} x ${r.height}`));
  assert.deepEqual(small, []);
  await accessible(page, 'phone');
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(300);
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${out}app-phone-${colorScheme}-top.png` });
    await page.screenshot({ path: `${out}app-phone-${colorScheme}.png`, fullPage: true });
    assert.equal((await fits(page)).wide, 0);
  }
  assert.deepEqual(problems, []);
  await context.close();
});

test('phone: the name of the adapter, what it is and what lies under the crosshair are read whole', async () => {
  const { page, problems, context } = await blank(tab, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
  await page.addInitScript(() => Object.defineProperty(globalThis.GPUAdapterInfo.prototype, 'description', { get: () => 'NVIDIA GeForce RTX 4090 Laptop GPU (SwiftShader driver)' }));
  await page.goto(`${tab.server.url}/`);
  await page.locator('body[data-phase=result]').waitFor(LONG);
  assert.match(await page.textContent('#adapter'), /^NVIDIA .*\): software, slow$/);
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${out}app-phone-${colorScheme}-adapter.png` });
    const cut = await page.$$eval('header, #adapter, #adapter *, #status, #status *', (all) => all.filter((e) => e.checkVisibility() && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) && getComputedStyle(e).display !== 'inline').map((e) => `${e.id || e.className}: ${e.textContent}`));
    assert.deepEqual(cut, []);
  }
  assert.deepEqual(problems, []);
  await context.close();
});

test('without WebGPU the page says what to do, and still shows and measures the scan', async () => {
  const context = await tab.browser.newContext({ colorScheme: 'dark', viewport: { width: 1280, height: 800 }, userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0' });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined }));
  const page = await context.newPage();
  await page.goto(tab.server.url);
  await page.waitForFunction(() => /voxels/.test(document.querySelector('#scan-facts').textContent), null, LONG);
  assert.equal(await page.textContent('#adapter'), 'No WebGPU');
  assert.match(await page.textContent('#no-webgpu'), /off in this Firefox.*dom\.webgpu\.enabled.*not segmented.*unetr segment/s);
  assert.equal(await page.isVisible('#segment'), false);
  const [path] = written({ 'look.nii': nifti(DIMS, tissue) });
  await page.setInputFiles('#scan-input', path);
  await opened(page, 'look.nii');
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${out}app-no-webgpu-dark.png` });
  await accessible(page, 'without WebGPU');
  await context.close();
  const plain = await tab.browser.newContext({ javaScriptEnabled: false });
  const bare = await plain.newPage();
  await bare.goto(tab.server.url);
  assert.match(await bare.textContent('noscript'), /needs JavaScript/);
  await plain.close();
});

test('scan and model are opened by address, of this site only', async () => {
  const site = await serve({ files: { '/scans/mine.nii': nifti(DIMS, tissue) } });
  try {
    const { page, problems, context } = await open(tab.browser, `${site.url}/?scan=/scans/mine.nii&model=/repo/models/hippocampus.safetensors`);
    await page.locator('#segment:enabled').waitFor(LONG);
    assert.equal(await page.textContent('#scan-name'), 'mine.nii');
    assert.equal(await page.$$eval('#models option', (all) => all.length), LISTED + 1);
    await page.goto(`${site.url}/?scan=https://example.com/scan.nii.gz&model=https://example.com/model.safetensors`);
    await page.waitForFunction(() => /of this site.*instead/.test(document.querySelector('#message').textContent), null, LONG);
    const message = await page.textContent('#message');
    assert.ok(['scan.nii.gz', 'model.safetensors'].every((word) => message.includes(word)), `it stays to be read: ${message}`);
    assert.equal(await page.isVisible('#sample'), false, 'the example is there instead');
    assert.deepEqual(problems, []);
    await context.close();
  } finally {
    site.close();
  }
});

test('a scan dropped while a model loads is opened as soon as that is there; arrow keys open none that lies on the way', async () => {
  // A service worker's requests could not be held up.
  const { page, problems, context } = await open(tab.browser, `${tab.server.url}/page`, { serviceWorkers: 'block' });
  let go;
  const held = new Promise((resolve) => { go = resolve; });
  await context.route('**/models/*.safetensors', async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(tab.server.url + HIPPOCAMPUS);
  await page.locator('body[data-phase=opening]').waitFor(LONG);
  await page.screenshot({ path: `${out}app-opening.png` });
  await accessible(page, 'opening');
  const [path] = written({ 'early.nii': nifti(DIMS, tissue) });
  await page.setInputFiles('#scan-input', path);
  go();
  await opened(page, 'early.nii');
  await page.locator('#segment:enabled').waitFor(LONG);
  await context.unroute('**/models/*.safetensors');
  await context.route('**/models/*.safetensors', () => {});
  await page.evaluate(async () => {
    const { clearModels } = await import('/unetr-wgpu/index.js');
    await clearModels();
  });
  await page.goto(tab.server.url + HIPPOCAMPUS);
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
  await page.locator('#segment:enabled').waitFor(LONG);
  assert.match(await page.textContent('#model-facts'), /brain stem/);
  assert.deepEqual(problems, []);
  await context.close();
});

test('the benchmark page measures and reports, whatever the network', async () => {
  const { page, problems, context } = await open(tab.browser, `${tab.server.url}/bench.html?repeats=1&model=/tiny.safetensors`, { viewport: { width: 1280, height: 800 } });
  await page.click('#run');
  const simple = await (await page.waitForFunction(() => globalThis.measured, null, LONG)).jsonValue();
  assert.equal(simple.error, undefined);
  assert.match(await page.textContent('#report'), /^model +tiny .*, window 32 x 32 x 32$/m);
  await page.goto(`${tab.server.url}/bench.html?repeats=2&model=/unetr.safetensors`);
  await page.click('#run');
  const { error, bench } = await (await page.waitForFunction(() => globalThis.measured, null, LONG)).jsonValue();
  assert.equal(error, undefined);
  assert.equal(bench.repeatsMs.length, 2);
  assert.match(await page.textContent('#report'), /window 32 x 16 x 16$/m);
  const report = await page.textContent('#report');
  assert.match(report, /adapter +google swiftshader \(software: runs on the CPU\)/);
  assert.match(report, /window +[\d.]+ ms, lower median of 2/);
  for (const op of ['conv3d', 'attention', 'conv_transpose3d', 'linear']) assert.match(report, new RegExp(`^${op} .*\\d\\.\\d+`, 'm'));
  assert.deepEqual(problems, []);
  await context.close();
});
