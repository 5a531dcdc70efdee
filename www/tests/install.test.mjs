// The tarball that `npm pack` makes, installed as its users install it: in a plain Vite project and without a bundler.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { build, createServer } from 'vite';

import { launch, open } from './browser.mjs';
import { root } from './page.mjs';
import { serve } from './server.mjs';
import { tinyPackage } from './tiny.mjs';

const MAIN = `
import { checkSupport, createSegmenter, UnetrError } from 'unetr-wgpu';
const support = await checkSupport();
const scan = new File([await (await fetch('scan.nii.gz')).blob()], 'scan.nii.gz');
const segmenter = await createSegmenter({ model: new URL('model.safetensors', location.href) });
const result = await segmenter.segment(scan);
segmenter.dispose();
globalThis.done = { webgpu: support.webgpu, volumes: result.statistics.map((s) => s.voxels), error: new UnetrError('internal', 'x').code };
`;
const PAGE = '<!doctype html><meta charset="utf-8"><title>x</title><link rel="icon" href="data:,">';
const files = {
  'scan.nii.gz': readFileSync(`${root}models/samples/hippocampus.nii.gz`),
  'model.safetensors': tinyPackage().bytes,
};

let folder;
let tarball;
let browser;
let expected;

function npm(where, ...words) {
  return execFileSync('npm', words, { cwd: where, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

/** A project with the tarball installed and nothing else. */
function project(name, content) {
  const path = `${folder}/${name}`;
  mkdirSync(`${path}/public`, { recursive: true });
  writeFileSync(`${path}/package.json`, JSON.stringify({ name, private: true, type: 'module' }));
  npm(path, 'install', '--offline', '--no-audit', '--no-fund', tarball);
  for (const [file, text] of Object.entries(content)) writeFileSync(`${path}/${file}`, text);
  return path;
}

async function volumes(url) {
  const { page, problems, context } = await open(browser, url);
  await page.waitForFunction(() => globalThis.done, null, { timeout: 300_000 });
  const done = await page.evaluate(() => globalThis.done);
  assert.deepEqual(problems, []);
  await context.close();
  assert.equal(done.webgpu, true);
  assert.equal(done.error, 'internal');
  assert.ok(done.volumes.every((v) => v > 100), String(done.volumes));
  // However it was installed, it is the same program.
  expected ??= done.volumes;
  assert.deepEqual(done.volumes, expected);
}

before(async () => {
  folder = mkdtempSync(`${tmpdir()}/unetr-install-`);
  const [packed] = JSON.parse(npm(`${root}www/pkg`, 'pack', '--json', '--pack-destination', folder));
  tarball = `${folder}/${packed.filename}`;
  const names = packed.files.map((f) => f.path);
  for (const name of ['index.js', 'index.d.ts', 'niivue.js', 'niivue.d.ts', 'cornerstone3d.js', 'cornerstone3d.d.ts', 'element.js', 'element.d.ts', 'types.d.ts', 'segmenter.d.ts', 'worker.js', 'unetr_wgpu_bg.wasm', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'THIRD-PARTY.txt', 'package.json']) {
    assert.ok(names.includes(name), `${name} is in the tarball`);
  }
  assert.ok(names.every((n) => /\.(js|d\.ts|wasm|md|json)$|^LICENSE|^THIRD-PARTY/.test(n)), String(names));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('types in strict projects, resolved as Node and as bundlers do', () => {
  const path = project('types', { 'main.ts': readFileSync(`${root}www/tests/types.ts`, 'utf8').replaceAll('../pkg/index.js', 'unetr-wgpu') });
  for (const [module, resolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
    const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--verbatimModuleSyntax'];
    const words = [...strict, '--noEmit', '--module', module, '--moduleResolution', resolution, '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--types', ''];
    execFileSync(`${root}www/node_modules/.bin/tsc`, [...words, 'main.ts'], { cwd: path, stdio: 'pipe', encoding: 'utf8' });
  }
});

test('exports and types hold however they are resolved', () => {
  const bin = `${root}www/node_modules/.bin/`;
  const run = (name, ...words) => execFileSync(bin + name, words, { cwd: folder, stdio: 'pipe', encoding: 'utf8' });
  run('publint', 'run', `${root}www/pkg`, '--strict');
  // There is no CommonJS of it: workers of modules are what it is made of.
  run('attw', tarball, '--profile', 'esm-only');
});

test('in a page without a bundler', async () => {
  const map = '<script type="importmap">{"imports": {"unetr-wgpu": "./node_modules/unetr-wgpu/index.js"}}</script>';
  const path = project('plain', { 'index.html': `${PAGE}${map}<script type="module" src="main.js"></script>`, 'main.js': MAIN, ...files });
  const server = await serve({ folder: path });
  await volumes(`${server.url}/`);
  server.close();
});

test('in a plain Vite project, built and in development', async () => {
  const public_ = Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`public/${name}`, bytes]));
  const path = project('vite', { 'index.html': `${PAGE}<script type="module" src="/main.js"></script>`, 'main.js': MAIN, ...public_ });
  await build({ root: path, base: './', logLevel: 'error', build: { target: 'es2022' } });
  const server = await serve({ folder: `${path}/dist` });
  await volumes(`${server.url}/`);
  server.close();
  // Vite's bundling ahead of time would move the package away from its worker.
  const vite = await createServer({ root: path, logLevel: 'error', server: { host: '127.0.0.1', port: 0 }, optimizeDeps: { exclude: ['unetr-wgpu'] } });
  await vite.listen();
  await volumes(`http://127.0.0.1:${vite.httpServer.address().port}/`);
  await vite.close();
});
