// The app as the program serves it, from its own copy and under its own policy.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';

import { launch, open } from './browser.mjs';
import { SHIPPED, root, unetr } from './page.mjs';
import { tinyPackage } from './tiny.mjs';

test('the program serves an app that segments the scan it was given', async () => {
  const scan = `${root}models/samples/hippocampus.nii.gz`;
  const server = spawn(unetr, ['serve', '--port', '0', '--model', tinyPackage().path, scan], { stdio: ['ignore', 'pipe', 'pipe'] });
  // Heard from the first moment: it may end at once.
  const started = new Promise((resolve, reject) => {
    let words = '';
    server.stderr.on('data', (data) => { words += data; });
    server.stdout.once('data', (data) => resolve(String(data).trim()));
    server.once('exit', () => reject(new Error(words)));
  });
  started.catch(() => {});
  const browser = await launch();
  try {
    const address = await started;
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/\?scan=\/local\//);
    const { page, problems, context } = await open(browser, address);
    await page.locator('#segment:enabled').click({ timeout: 300_000 });
    await page.locator('#result').waitFor({ timeout: 300_000 });
    assert.equal(await page.textContent('#scan-name'), 'hippocampus.nii.gz');
    assert.equal(await page.$$eval('#legend tr', (all) => all.length), SHIPPED.package.output.labels.length);
    assert.ok(Number(await page.textContent('#legend tr:first-child .number')) > 0.5);
    const kept = await page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folders = await Array.fromAsync(root.keys());
      return [...folders, ...(await caches.keys()).filter((name) => name === 'unetr-wgpu')];
    });
    assert.deepEqual(kept, [], 'a file of this machine may change at its address, so none is kept');
    assert.deepEqual(problems, [], 'nothing is against the policy');
    await context.close();
  } finally {
    server.kill();
    await browser.close();
  }
});
