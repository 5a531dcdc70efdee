// The package where others put it: on a server, in React with its strict mode, as an element in a plain page with a strict policy.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { launch, open } from './browser.mjs';
import { labels as labelsOf } from './nifti.mjs';
import { SHIPPED, native, out, root } from './page.mjs';
import { serve } from './server.mjs';
import { tinyPackage } from './tiny.mjs';
import { bundled } from './viewers.mjs';

const SAMPLE = `${root}models/samples/hippocampus.nii.gz`;
const MODEL = '/tiny.safetensors';
const tiny = tinyPackage();
let server;
let browser;

before(async () => {
  const viewers = await bundled({ react: `
    import { StrictMode, useEffect, useState } from 'react';
    import { createRoot } from 'react-dom/client';
    import { createSegmenter } from 'unetr-wgpu';
    import '/unetr-wgpu/element.js';

    /** A model for as long as a component is there, as React's documentation has it for what must be undone. */
    function Model({ model, told }) {
      const [name, setName] = useState('');
      useEffect(() => {
        const stop = new AbortController();
        const made = createSegmenter({ model, signal: stop.signal });
        made.then((segmenter) => { told('ready'); setName(segmenter.model.name); }, (error) => told(error.code));
        return () => {
          stop.abort();
          made.then((segmenter) => segmenter.dispose(), () => {});
        };
      }, [model]);
      return <output id="name">{name}</output>;
    }

    export function show(place, model, told, wanted) {
      const root = createRoot(place);
      root.render(<StrictMode>{wanted === 'element' ? <unetr-segmenter model={model} onerror={(e) => told(e.detail.code)} /> : <Model model={model} told={told} />}</StrictMode>);
      return root;
    }` });
  server = await serve({ files: { ...viewers, [MODEL]: tiny.bytes } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

test('every module is imported where there is no page, and says so', async () => {
  assert.equal(globalThis.document, undefined);
  const [main] = await Promise.all(['index', 'niivue', 'cornerstone3d', 'element'].map((name) => import(`../pkg/${name}.js`)));
  const support = await main.checkSupport();
  assert.deepEqual([support.webgpu, support.adapter], [false, null]);
  assert.match(support.reason, /no browser/);
  const refused = await main.createSegmenter({ model: 'https://example.org/m.safetensors' }).then(() => null, (error) => error);
  assert.deepEqual([refused instanceof main.UnetrError, refused.code], [true, 'no-webgpu']);
  assert.deepEqual(await main.listModels(), []);
  await main.clearModels();
});

test('React mounts twice in its strict mode: one worker, one model, nothing left', async () => {
  const { page, problems, context } = await open(browser, `${server.url}/page`);
  const got = await page.evaluate(async (MODEL) => {
    const workers = [];
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        workers.push({ ended: false, loads: 0, unloads: 0 });
        this.of = workers.at(-1);
      }

      postMessage(message, ...more) {
        if (message.type === 'load') this.of.loads += 1;
        if (message.type === 'unload') this.of.unloads += 1;
        super.postMessage(message, ...more);
      }

      terminate() {
        this.of.ended = true;
        super.terminate();
      }
    };
    const { show } = await import('/viewers/react.js');
    const place = document.body.appendChild(document.createElement('div'));
    const told = [];
    const shown = show(place, MODEL, (what) => told.push(what));
    while (!place.textContent) await new Promise((done) => setTimeout(done, 20));
    const name = place.textContent;
    shown.unmount();
    await new Promise((done) => setTimeout(done, 200));
    const kept = workers.map((w) => ({ ...w }));
    // The element, put in and taken out while it works.
    const other = show(place, MODEL, (what) => told.push(what), 'element');
    while (!place.firstChild?.shadowRoot) await new Promise((done) => setTimeout(done, 20));
    const element = place.firstChild;
    const run = element.segment(new Blob([new Uint8Array(8)])).then(() => null, (error) => error.code);
    other.unmount();
    return { told, name, kept, run: await run, left: place.childNodes.length, workers: workers.length };
  }, MODEL);
  assert.deepEqual(got.told.slice(0, 2), ['aborted', 'ready']);
  assert.equal(got.name, 'tiny');
  // The one worker lingers for the next model; the models are off it.
  assert.equal(got.kept.length, 1);
  assert.equal(got.kept[0].loads, got.kept[0].unloads);
  assert.deepEqual([got.run, got.left, got.workers], ['aborted', 0, 1]);
  assert.deepEqual(problems, []);
  await context.close();
});

test('the element by keyboard, under a policy without unsafe-eval and inline styles', async () => {
  const { page, problems, context } = await open(browser, `${server.url}/page`, { viewport: { width: 480, height: 520 }, acceptDownloads: true });
  await page.evaluate(async (MODEL) => {
    await import('/unetr-wgpu/element.js');
    document.documentElement.lang = 'en';
    document.body.innerHTML = `<main><h1>Scans</h1><unetr-segmenter model="${MODEL}"></unetr-segmenter></main>`;
    globalThis.heard = [];
    const element = document.querySelector('unetr-segmenter');
    for (const name of ['progress', 'result', 'error']) element.addEventListener(name, ({ detail }) => globalThis.heard.push(name === 'progress' ? detail.phase : name));
  }, MODEL);
  const status = page.getByRole('status');
  assert.ok(await page.getByRole('button', { name: 'Segment' }).isDisabled());
  await page.getByLabel(/^Scan/).setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('Dear reader,') });
  await page.getByLabel(/^Scan/).focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await status.getByText(/notes\.txt/).or(status.getByText(/NIfTI/)).waitFor();
  assert.equal(await page.evaluate(() => globalThis.heard.at(-1)), 'error');
  await page.getByLabel(/^Scan/).setInputFiles(SAMPLE);
  await page.getByLabel(/^Scan/).focus();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Cancel' }).and(page.locator(':enabled')).waitFor();
  await status.getByText('Done').waitFor();
  const table = await page.getByRole('table', { name: 'Labels' }).innerText();
  for (const { name } of SHIPPED.package.output.labels) assert.match(table, new RegExp(`${name.replaceAll('_', ' ')}\\s+\\d+\\.\\d\\d ml`));
  const heard = await page.evaluate(() => globalThis.heard);
  assert.equal(heard.at(-1), 'result');
  assert.ok(heard.includes('infer'));
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Save labels' }).click()]);
  assert.equal(download.suggestedFilename(), 'hippocampus_labels.nii.gz');
  const known = native(SAMPLE, tiny.path);
  const saved = labelsOf(readFileSync(await download.path()));
  assert.deepEqual(saved.affine, known.affine);
  const differ = saved.data.reduce((n, v, i) => n + Number(v !== known.data[i]), 0);
  assert.ok(differ <= 12, `${differ} labels are not those of the native program`);
  await page.evaluate(readFileSync(`${root}www/node_modules/axe-core/axe.min.js`, 'utf8'));
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.length]), []);
  await page.screenshot({ path: `${out}element.png` });
  assert.deepEqual(problems, []);
  await context.close();
});
