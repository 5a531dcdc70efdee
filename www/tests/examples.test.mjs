// The examples, run: bundled as this repository does, and in plain Vite projects that have the packed package and what
// `examples/README.md` says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { build } from 'vite';

import { NAMES, examples } from '../examples/build.mjs';
import { launch, open } from './browser.mjs';
import { SHIPPED, out, root } from './page.mjs';
import { serve } from './server.mjs';
import { tinyPackage } from './tiny.mjs';

const folder = `${out}examples`;
const dist = `${root}www/dist/`;
/** In place of the model that the examples name: what they do with it is what is tested. */
const MODEL = 'models/hippocampus.safetensors';
const tiny = tinyPackage();
let server;
let browser;

before(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await examples(folder);
  server = await serve({ folder, files: Object.fromEntries(NAMES.map((name) => [`/${name}/${MODEL}`, tiny.bytes])) });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Opens an example and waits for the sample's volumes. */
async function segments(name, url) {
  const { page, problems, context } = await open(browser, url, { viewport: { width: 1000, height: 800 } });
  if (name === 'minimal') await page.setInputFiles('#scan', `${root}models/samples/hippocampus.nii.gz`);
  else await page.locator('#segment:enabled').click({ timeout: 60_000 });
  const text = () => page.evaluate(() => `${document.querySelector('#state').value} ${document.querySelector('table')?.innerText ?? ''}`);
  await page.waitForFunction(() => /\d (ml|s on)/.test(document.querySelector('#state').value), null, { timeout: 300_000 });
  for (const label of SHIPPED.package.output.labels) assert.match(await text(), new RegExp(`${label.name}:?\\s+\\d+\\.\\d\\d ml`));
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}example-${name}.png` });
  assert.deepEqual(problems, []);
  await context.close();
}

for (const name of NAMES) {
  test(`the example ${name} segments the sample`, () => segments(name, `${server.url}/${name}/`));
}

// Viewers are found in the folders above; the package is the project's own.
for (const name of NAMES.filter((n) => n !== 'minimal')) {
  test(`the example ${name} in a plain Vite project`, async () => {
    const project = `${folder}/vite-${name}`;
    cpSync(`${root}www/examples/${name}`, project, { recursive: true });
    for (const part of ['models', 'samples']) cpSync(dist + part, `${project}/public/${part}`, { recursive: true });
    writeFileSync(`${project}/public/${MODEL}`, tiny.bytes);
    writeFileSync(`${project}/package.json`, JSON.stringify({ name, private: true, type: 'module' }));
    const npm = (...words) => execFileSync('npm', words, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    const [packed] = JSON.parse(npm('pack', `${root}www/pkg`, '--json'));
    npm('install', '--offline', '--no-audit', '--no-fund', packed.filename);
    await build({ root: project, base: './', configFile: false, logLevel: 'error', build: { target: 'es2022', chunkSizeWarningLimit: 20_000 } });
    const own = await serve({ folder: `${project}/dist` });
    try {
      await segments(name, `${own.url}/`);
    } finally {
      own.close();
    }
  });
}
