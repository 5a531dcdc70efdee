// The web app in a tab, ready to be used as a person would: by clicks, keys and real drags.
import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';

import { open } from './browser.mjs';
import { SHIPPED, root } from './page.mjs';

export const LONG = { timeout: 240_000 };
/** How many models the page offers. */
export const LISTED = readdirSync(`${root}models`).filter((name) => name.endsWith('.safetensors')).length;
export const LABELS = SHIPPED.package.output.labels;
/** The page with the smaller model, which it does not open by itself. */
export const HIPPOCAMPUS = '/?model=models/hippocampus.safetensors';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const words = (name) => name.replaceAll('_', ' ');

/** A page that will watch over the app. */
export async function blank({ browser }, options) {
  const opened = await open(browser, 'about:blank', options);
  await opened.page.addInitScript(watch);
  return opened;
}

/** The app with a scan open that can be segmented, and everything kept for offline use; every phase and every gap between frames is noted. */
export async function ready(tab, options, address = HIPPOCAMPUS) {
  const opened = await blank(tab, { viewport: { width: 1280, height: 800 }, ...options });
  await opened.page.goto(tab.server.url + address);
  await opened.page.locator('#segment:enabled').waitFor(LONG);
  // It is said of pages with a model only.
  if (address !== '/') await opened.page.locator('#offline').waitFor(LONG);
  return opened;
}

/** In the page: the phases it went through, the longest time without a frame, and what it asked of the browser. */
function watch() {
  globalThis.phases = [];
  globalThis.gap = 0;
  globalThis.asked = { persist: 0, awake: 0 };
  const counted = (type, name, key) => {
    const own = type.prototype[name];
    type.prototype[name] = function (...given) {
      globalThis.asked[key] += 1;
      return own.apply(this, given);
    };
  };
  counted(globalThis.StorageManager, 'persist', 'persist');
  counted(globalThis.WakeLock, 'request', 'awake');
  addEventListener('DOMContentLoaded', () => {
    const note = () => { if (globalThis.phases.at(-1) !== document.body.dataset.phase) globalThis.phases.push(document.body.dataset.phase); };
    new MutationObserver(note).observe(document.body, { attributes: true, attributeFilter: ['data-phase'] });
    note();
    let last = performance.now();
    const frame = (now) => {
      globalThis.gap = Math.max(globalThis.gap, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
}

/** What a button, of a menu or not, saves. */
export async function saved(page, button) {
  const inMenu = await page.locator(`#save-menu ${button}`).count();
  if (inMenu) await page.click('#save-menu-button');
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

export async function segmented(page) {
  await page.click('#segment');
  await page.locator('body[data-phase=result]').waitFor(LONG);
}

/** Writes files into a folder of their own; gives their paths. */
export function written(files) {
  const folder = mkdtempSync(`${tmpdir()}/unetr-app-`);
  return Object.entries(files).map(([name, bytes]) => {
    const path = `${folder}/${name}`;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
    return path;
  });
}

/** Drags files or folders over the page and drops them, as the system does; with `over` they are only held there. */
export async function drag(page, paths, { x, y }, { over = false } = {}) {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', ...(over ? [] : ['drop'])]) await session.send('Input.dispatchDragEvent', { type, x, y, data });
  return async () => {
    await session.send('Input.dispatchDragEvent', { type: 'dragCancel', x, y, data });
  };
}

/** Waits until the scan of this name is open. */
export async function opened(page, name) {
  await page.waitForFunction((n) => document.querySelector('#scan-name').textContent === n && !['opening', 'compiling'].includes(document.body.dataset.phase), name, LONG);
}

/** Pixels of a PNG file as `{width, height, data}`, decoded in the page. */
export async function pixels(page, png) {
  const got = await page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }), { premultiplyAlpha: 'none' });
    const canvas = document.createElement('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let binary = '';
    for (let i = 0; i < data.length; i += 32_768) binary += String.fromCharCode(...data.subarray(i, i + 32_768));
    return { width: image.width, height: image.height, data: btoa(binary) };
  }, png.toString('base64'));
  return { ...got, data: Buffer.from(got.data, 'base64') };
}

/** Waits until the viewer has drawn all that is to be seen. */
export async function drawn(page) {
  await page.waitForTimeout(250);
  await page.locator('#view[data-whole=true]').waitFor(LONG);
}

/** What the viewer shows, as pixels. */
export async function shown(page) {
  await drawn(page);
  return pixels(page, await page.locator('#pictures').screenshot());
}

/** How many pixels `test(r, g, b)` holds for. */
export function count({ data }, test) {
  let n = 0;
  for (let at = 0; at < data.length; at += 4) n += Number(test(data[at], data[at + 1], data[at + 2]));
  return n;
}

/** No rule of accessibility is broken by the page as it is now, in both colour schemes; `state` is told if one is. */
export async function accessible(page, state) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(100);
    // The page's own policy, which stays in force, allows no script element of elsewhere.
    if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
    const found = await page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], rules: { region: { enabled: false } } });
      return violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.html.slice(0, 120)} ${n.any[0]?.message ?? ''}`).slice(0, 3).join(' | ')}`);
    });
    assert.deepEqual(found, [], `${state}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: null });
}
