// The web app in a tab, ready to be used as a person would: by clicks and keys.
import { readFileSync, readdirSync } from 'node:fs';

import { open } from './browser.mjs';
import { SHIPPED, root } from './page.mjs';

export const images = `${root}tests/data/hippocampus/images/`;
export const LONG = { timeout: 300_000 };
/** How many models the page offers. */
export const LISTED = readdirSync(`${root}models`).filter((name) => name.endsWith('.safetensors')).length;
export const LABELS = SHIPPED.package.output.labels;
export const words = (name) => name.replaceAll('_', ' ');

/** The app with model and scan open and everything kept for offline use. */
export async function ready({ browser, server }, options, address = '/') {
  const opened = await open(browser, server.url + address, { viewport: { width: 1280, height: 800 }, ...options });
  await opened.page.locator('#segment:enabled').waitFor(LONG);
  // By time, not by frames: none is drawn while shaders are compiled.
  await opened.page.waitForFunction(() => document.querySelector('#scan-name').textContent !== '…', null, { polling: 50 });
  await opened.page.locator('#offline').waitFor(LONG);
  return opened;
}

export async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

export async function segmented(page) {
  await page.click('#segment');
  await page.locator('#result').waitFor(LONG);
}
