// The benchmark page in headless Chromium, beside the native program on the same adapter and, with `--onnx`, beside
// onnxruntime-web in the same browser. Run it while nothing else runs.
//
// usage: node www/bench/run.mjs [--model MODEL.safetensors] [--onnx MODEL.onnx] [--repeats N] [--rounds N] [--json FILE]
//
// `scripts/export_onnx.py MODEL.safetensors MODEL.onnx` writes a model's network as ONNX; `npm --prefix www install --no-save
// onnxruntime-web` installs the runtime. Build with `scripts/web` (not `--quick`) and `cargo build --release` before.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { launch } from '../tests/browser.mjs';
import { root, unetr } from '../tests/page.mjs';
import { serve } from '../tests/server.mjs';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const { values: given } = parseArgs({ options: {
  model: { type: 'string', default: `${root}models/hippocampus.safetensors` },
  onnx: { type: 'string' },
  repeats: { type: 'string', default: '7' },
  rounds: { type: 'string', default: '3' },
  json: { type: 'string' },
} });
const repeats = Number(given.repeats);
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)];

const served = { '/bench/model.safetensors': resolve(given.model), ...(given.onnx && { '/bench/model.onnx': resolve(given.onnx) }) };
// Only cross-origin isolated pages may use several threads, which the comparison is to have.
const isolated = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
const server = await serve({ files: served, headers: isolated });
const rows = { tab: [], native: [], runtime: [] };
const notes = [];
let page;

/** In the page: windows through onnxruntime-web's `wasm` backend. */
async function runtime({ provider, repeats }) {
  const ort = await import('/repo/www/node_modules/onnxruntime-web/dist/ort.all.min.mjs');
  ort.env.wasm.wasmPaths = '/repo/www/node_modules/onnxruntime-web/dist/';
  ort.env.wasm.numThreads = navigator.hardwareConcurrency;
  const session = await ort.InferenceSession.create('/bench/model.onnx', { executionProviders: [provider] });
  const dims = session.inputMetadata[0].shape;
  const x = new ort.Tensor('float32', Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * 0.37)), dims);
  const times = [];
  for (let i = -2; i < repeats; i += 1) {
    const start = performance.now();
    await session.run({ [session.inputNames[0]]: x });
    if (i >= 0) times.push(performance.now() - start);
  }
  await session.release();
  return { times, threads: ort.env.wasm.numThreads, version: ort.env.versions.web };
}

// In turns, so that a slow spell of the machine meets all alike.
for (let round = 0; round < Number(given.rounds); round += 1) {
  const browser = await launch();
  const tab = await (await browser.newContext()).newPage();
  await tab.goto(`${server.url}/bench.html?repeats=${repeats}&model=/bench/model.safetensors`);
  await tab.click('#run');
  page = await tab.waitForFunction(() => globalThis.measured, null, { timeout: 600_000 }).then((handle) => handle.jsonValue());
  if (page.error) throw new Error(page.error);
  rows.tab.push(...page.bench.repeatsMs);
  if (given.onnx) {
    const empty = await browser.newPage();
    await empty.goto(`${server.url}/isolated`);
    const got = await empty.evaluate(runtime, { provider: 'wasm', repeats });
    rows.runtime.push(...got.times);
    if (round === 0) {
      notes.push(`onnxruntime-web ${got.version}, wasm backend, ${got.threads} threads`);
      const refused = await empty.evaluate(runtime, { provider: 'webgpu', repeats: 1 }).then((r) => `ran: ${r.times[0].toFixed(0)} ms`, (e) => e.message.split('\n')[0]);
      notes.push(`its webgpu backend: ${refused}`);
    }
  }
  await browser.close();
  if (existsSync(SWIFTSHADER)) {
    const text = execFileSync(unetr, ['bench', '--json', '--repeats', String(repeats), '-m', given.model], {
      env: { ...process.env, VK_DRIVER_FILES: SWIFTSHADER }, stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1 << 26,
    });
    const report = JSON.parse(text);
    rows.native.push(...report.repeats_ms);
    if (round === 0) notes.push(`native on ${report.adapter}`);
  }
}
server.close();

const show = (name, times) => times.length > 0 && console.log(`  ${name.padEnd(34)} ${median(times).toFixed(1).padStart(9)} ms   (${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)}, ${times.length} windows)`);
console.log(`window of ${page.model.network.img_size.join(' x ')}, ${page.model.name}; adapter of the tab: ${page.bench.device.name}`);
show('unetr in the tab', rows.tab);
show('unetr, native, same adapter', rows.native);
show('onnxruntime-web', rows.runtime);
const overhead = rows.native.length > 0 ? median(rows.tab) / median(rows.native) - 1 : null;
// Other work on the machine only adds to a time: the fastest windows are the least disturbed.
const atBest = rows.native.length > 0 ? Math.min(...rows.tab) / Math.min(...rows.native) - 1 : null;
if (overhead !== null) {
  console.log(`  overhead of the tab over native     ${(100 * overhead).toFixed(1).padStart(8)} %   (of the fastest windows ${(100 * atBest).toFixed(1)} %)`);
}
console.log(`  from nothing to the first result    ${page.firstMs.toFixed(0).padStart(8)} ms   (download and upload ${page.firstParts.loadMs.toFixed(0)})`);
for (const note of notes) console.log(`  ${note}`);
if (given.json) writeFileSync(given.json, `${JSON.stringify({ rows, overhead, atBest, notes, page }, null, 2)}\n`);
