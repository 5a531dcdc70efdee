// The examples, bundled and run.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { NAMES, examples } from '../examples/build.mjs';
import { launch, open } from './browser.mjs';
import { SHIPPED, out, root } from './page.mjs';
import { serve } from './server.mjs';

const folder = `${out}examples`;
let server;
let browser;

before(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await examples(folder);
  server = await serve({ folder });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

for (const name of NAMES) {
  test(`the example ${name} segments the sample`, async () => {
    const { page, problems, context } = await open(browser, `${server.url}/${name}/`, { viewport: { width: 1000, height: 800 } });
    if (name === 'minimal') await page.setInputFiles('#scan', `${root}models/samples/hippocampus.nii.gz`);
    else await page.locator('#segment:enabled').click({ timeout: 60_000 });
    const text = () => page.evaluate(() => `${document.querySelector('#state').value} ${document.querySelector('table')?.innerText ?? ''}`);
    await page.waitForFunction(() => /\d (ml|s on)/.test(document.querySelector('#state').value), null, { timeout: 300_000 });
    for (const label of SHIPPED.package.output.labels) assert.match(await text(), new RegExp(`${label.name}:?\\s+\\d+\\.\\d\\d ml`));
    await page.waitForTimeout(1500);
    await page.screenshot({ path: `${out}example-${name}.png` });
    assert.deepEqual(problems, []);
    await context.close();
  });
}
