// Firefox with WebGPU switched on segments as the native program does. It needs `firefox` or `firefox-esr`: scripts/setup
// --browser installs it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { launch } from 'puppeteer-core';

import { zContiguous } from './nifti.mjs';
import { native, script } from './page.mjs';
import { serve } from './server.mjs';
import { written } from './app.mjs';
import { nifti, tissue } from './synthetic.mjs';

const FIREFOX = process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(existsSync);
const SCAN = nifti([40, 52, 36], tissue);

test('Firefox gives the labels of the native program', { timeout: 240_000 }, async (t) => {
  assert.ok(FIREFOX, 'Firefox is not here: scripts/setup --browser installs it');
  const server = await serve({ files: { '/scans/tissue.nii': SCAN } });
  const browser = await launch({
    browser: 'firefox', executablePath: FIREFOX, headless: true, protocolTimeout: 240_000,
    extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true, 'dom.webgpu.allow-present-without-readback': true },
  });
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/page`);
    const got = await page.evaluate(script(async ({ createSegmenter, checkSupport, bytes }, { MODEL }) => {
      const support = await checkSupport();
      if (!support.webgpu) return { support };
      const segmenter = await createSegmenter({ model: MODEL });
      const result = await segmenter.segment(new File([await bytes('/scans/tissue.nii')], 'tissue.nii'));
      segmenter.dispose();
      return { support, labels: Array.from(result.labels), ms: result.timings.totalMs };
    }));
    assert.equal(got.support.webgpu, true, got.support.reason);
    const [path] = written({ 'tissue.nii': SCAN });
    const expected = zContiguous(native(path));
    const equal = expected.reduce((n, v, i) => n + Number(v === got.labels[i]), 0) / expected.length;
    t.diagnostic(`${await browser.version()}: ${(100 * equal).toFixed(3)} % of the labels equal, ${Math.round(got.ms)} ms on ${got.support.adapter.name}`);
    assert.ok(equal >= 0.999, String(equal));
  } finally {
    await browser.close();
    server.close();
  }
});
