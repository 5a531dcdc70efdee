// The benchmark: from nothing to the first result, then windows alone, then kernel by kernel.
import { checkSupport, createSegmenter } from 'unetr-wgpu';
import { $, mib } from './format.js';
import { siteModels } from './models.js';

const REPEATS = 7;

/** Nodes summed by op, the slowest first. @param {import('unetr-wgpu').Benchmark['nodes']} nodes */
function byOp(nodes) {
  /** @type {Map<string, {op: string, ms: number | null, gflop: number, gb: number}>} */
  const ops = new Map();
  for (const { op, ms, gflop, gb } of nodes) {
    const sum = ops.get(op) ?? { op, ms: 0, gflop: 0, gb: 0 };
    ops.set(op, { op, ms: ms === null || sum.ms === null ? null : sum.ms + ms, gflop: sum.gflop + gflop, gb: sum.gb + gb });
  }
  return [...ops.values()].sort((a, b) => (b.ms ?? 0) - (a.ms ?? 0));
}

/** @param {any} report */
function text({ browser, model, firstMs, firstParts, bench }) {
  const { device, windowMs, repeatsMs, peakBytes, copyGbs, fmaGflops } = bench;
  const total = bench.nodes.reduce((/** @type {number} */ sum, /** @type {{gflop: number}} */ n) => sum + n.gflop, 0);
  const lines = [
    `browser        ${browser}`,
    `adapter        ${device.name}${device.software ? ' (software: runs on the CPU)' : ''}`,
    `model          ${model.name} ${model.version}, ${mib(model.bytes)}, window ${model.window.join(' x ')}`,
    `first result   ${firstMs.toFixed(0)} ms from nothing: download ${firstParts.loadMs.toFixed(0)}, scan to labels ${firstParts.totalMs.toFixed(0)}`,
    `window         ${windowMs.toFixed(1)} ms, lower median of ${repeatsMs.length} (${Math.min(...repeatsMs).toFixed(1)} to ${Math.max(...repeatsMs).toFixed(1)}), ${(total / windowMs * 1e3).toFixed(1)} GFLOP/s`,
    `at best        ${fmaGflops.toFixed(1)} GFLOP/s of multiply-adds, ${copyGbs.toFixed(1)} GB/s of copies`,
    `memory         ${mib(peakBytes)} on the GPU`,
    '',
    'op                          ms    GFLOP       GB',
  ];
  for (const { op, ms, gflop, gb } of byOp(bench.nodes)) {
    lines.push(`${op.padEnd(20)} ${(ms === null ? '-' : ms.toFixed(2)).padStart(9)} ${gflop.toFixed(3).padStart(8)} ${gb.toFixed(3).padStart(8)}`);
  }
  return lines.join('\n');
}

async function run() {
  $('run').disabled = true;
  try {
    const support = await checkSupport();
    if (!support.webgpu) throw new Error(support.reason ?? '');
    const address = new URLSearchParams(location.search);
    const url = new URL(address.get('model') ?? 'models/hippocampus.safetensors', location.href);
    /** @type {import('./state.js').ModelEntry[]} */
    const listed = (await siteModels()).filter((m) => m.sample);
    const { sample } = listed.find((m) => String(m.model) === String(url)) ?? listed[listed.length - 1];
    const scan = await (await fetch(/** @type {import('./state.js').Sample} */ (sample).scan)).blob();
    /** @param {import('unetr-wgpu').Progress} progress */
    const onProgress = ({ phase, done, total }) => { $('report').textContent = `${phase} ${done}${total ? ` of ${total}` : ''}`; };
    const start = performance.now();
    // Nothing is kept, so that the download counts.
    const segmenter = await createSegmenter({ model: url, cache: 'none', onProgress });
    const loadMs = performance.now() - start;
    const result = await segmenter.segment(scan, { onProgress });
    const firstMs = performance.now() - start;
    $('report').textContent = `timing ${REPEATS} windows…`;
    const bench = await segmenter.benchmark({ repeats: Number(address.get('repeats') ?? REPEATS) });
    segmenter.dispose();
    const { name, version, bytes, network, sha256 } = segmenter.model;
    const report = {
      browser: navigator.userAgent, model: { name, version, bytes, network, sha256, window: result.plan.roi }, firstMs, firstParts: { loadMs, ...result.timings },
      windowsMs: result.timings.inferMs / result.plan.windows, bench,
    };
    $('report').textContent = text(report);
    $('copy').disabled = false;
    // For whoever runs this page by a script.
    Object.assign(globalThis, { measured: report });
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    $('report').textContent = message;
    Object.assign(globalThis, { measured: { error: message } });
  } finally {
    $('run').disabled = false;
  }
}

$('run').addEventListener('click', run);
$('copy').addEventListener('click', () => navigator.clipboard.writeText($('report').textContent));
