// How long the page stands still, from its first byte to the labels, and where: the longest time without a frame in each
// part of a visit, and which script ran meanwhile. A gap without a script is the browser's: its GPU process, or the machine's
// other work. Run it while nothing else runs.
//
// usage: node www/bench/stall.mjs [--scan FILE...] [--model FILE] [--rounds N] [--limit MS] [--json FILE]
//
// Without `--scan` the page's own example is segmented. Ends with 1 if a gap is over `--limit` (default 500). Build with
// `scripts/web` (not `--quick`) before.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { launch } from '../tests/browser.mjs';
import { serve } from '../tests/server.mjs';

const { values: given } = parseArgs({ options: {
  scan: { type: 'string', multiple: true },
  model: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  limit: { type: 'string', default: '500' },
  json: { type: 'string' },
} });
const WAIT = { timeout: 1_200_000 };
/** After the labels are there: surfaces are made and drawn. */
const SETTLE_MS = 4000;
const PARTS = ['load', 'open', 'download', 'compile', 'preprocess', 'infer', 'postprocess', 'result', 'look'];

/** In the page: every gap between two frames over 50 ms with the part of the visit it lies in, and what ran for long. */
function watch() {
  const watched = { part: 'load', gaps: [], scripts: [] };
  globalThis.watched = watched;
  globalThis.Worker = class extends Worker {
    constructor(...all) {
      super(...all);
      this.addEventListener('message', ({ data }) => {
        const phase = data?.progress?.phase;
        if (phase) watched.part = phase;
        else if (data?.value?.labels && data.value.statistics) watched.part = 'result';
      });
    }
  };
  let last = performance.now();
  let part = watched.part;
  const frame = (now) => {
    if (now - last > 50) watched.gaps.push({ part, until: watched.part, at: last, ms: now - last });
    [last, part] = [now, watched.part];
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      for (const { startTime, duration, sourceURL, sourceFunctionName, invoker } of entry.scripts) {
        watched.scripts.push({ at: startTime, ms: duration, what: [sourceURL.split('/').pop(), sourceFunctionName || invoker].filter(Boolean).join(' ') });
      }
    }
  }).observe({ type: 'long-animation-frame', buffered: true });
}

async function visit(server) {
  const browser = await launch();
  try {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
    await page.addInitScript(watch);
    const part = (name) => page.evaluate((n) => { globalThis.watched.part = n; }, name);
    await page.goto(`${server.url}/`);
    await page.locator('body[data-phase=result]').waitFor(WAIT);
    await page.waitForTimeout(SETTLE_MS);
    await part('open');
    if (given.model) await page.setInputFiles('#model-input', given.model);
    if (given.model) await page.waitForFunction(() => document.querySelector('#model-facts').textContent !== '' && document.body.dataset.phase !== 'opening', null, WAIT);
    if (given.scan) {
      const before = await page.textContent('#scan-name');
      await page.setInputFiles('#scan-input', given.scan);
      await page.waitForFunction((name) => document.querySelector('#scan-name').textContent !== name && document.body.dataset.phase === 'ready', before, WAIT);
      await page.waitForTimeout(SETTLE_MS);
    }
    await page.click('#segment');
    // Until the model is there the example's result still stands.
    await page.waitForFunction(() => document.body.dataset.phase === 'result' && document.querySelector('#result-title').textContent === 'Result', null, WAIT);
    await page.waitForTimeout(SETTLE_MS);
    await part('look');
    await page.locator('#view').click({ position: { x: 200, y: 200 } });
    for (const key of ['ArrowUp', 'ArrowLeft', 'PageUp']) await page.keyboard.press(key);
    await page.locator('#legend button').first().click();
    await page.waitForTimeout(SETTLE_MS / 2);
    return await page.evaluate(() => globalThis.watched);
  } finally {
    await browser.close();
  }
}

const server = await serve();
const rounds = [];
for (let round = 0; round < Number(given.rounds); round += 1) rounds.push(await visit(server));
server.close();

/** What ran for longest within a gap. */
function during({ at, ms }, scripts) {
  const [longest] = scripts.filter((s) => s.at + s.ms > at && s.at < at + ms).sort((a, b) => b.ms - a.ms);
  return longest ? `${longest.what}, ${longest.ms.toFixed(0)} ms` : 'no script';
}

const rows = PARTS.map((part) => {
  const all = rounds.flatMap(({ gaps, scripts }) => gaps.filter((g) => g.part === part).map((gap) => ({ ...gap, script: during(gap, scripts) })));
  const longest = rounds.map(({ gaps }) => Math.max(0, ...gaps.filter((g) => g.part === part).map((g) => g.ms)));
  return { part, longest, worst: all.sort((a, b) => b.ms - a.ms)[0] ?? null };
});
console.log(`longest time without a frame in each part, ${rounds.length} visits; below 50 ms is not told`);
for (const { part, longest, worst } of rows) {
  const until = worst && worst.until !== part ? ` (into ${worst.until})` : '';
  console.log(`  ${part.padEnd(12)} ${longest.map((ms) => ms.toFixed(0).padStart(7)).join('')} ms   ${worst ? `worst at ${(worst.at / 1000).toFixed(1)} s${until}: ${worst.script}` : ''}`);
}
const worst = Math.max(...rows.flatMap(({ longest }) => longest));
console.log(`longest of all: ${worst.toFixed(0)} ms, ${worst <= Number(given.limit) ? 'within' : 'over'} the limit of ${given.limit} ms`);
if (given.json) writeFileSync(given.json, `${JSON.stringify({ rows, rounds }, null, 2)}\n`);
process.exitCode = worst <= Number(given.limit) ? 0 : 1;
