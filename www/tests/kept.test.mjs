// Only what was opened as a model is kept; and the package's manners: options, callbacks, other programs, strict pages.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { open } from './browser.mjs';
import { MODEL, SHA256, pages, script } from './page.mjs';
import { serve } from './server.mjs';

const tab = pages();
const asked = () => tab.server.log.filter(({ path }) => path === MODEL).length;

test('what is no model is not kept, whatever it came as', async () => {
  const { page, context } = await tab.page();
  const load = (options) => page.evaluate(script(async ({ createSegmenter, listModels }, { options }) => {
    const got = {};
    try {
      const segmenter = await createSegmenter(options);
      got.from = segmenter.model.from;
      segmenter.dispose();
    } catch (error) {
      Object.assign(got, { code: error.code, message: error.message });
    }
    got.kept = (await listModels()).map((m) => `${m.kept} ${m.complete} ${m.sha256}`);
    return got;
  }, { options }));
  const right = `opfs true ${SHA256}`;
  for (const cache of ['opfs', 'cache', 'memory']) {
    await page.evaluate(async () => (await import('/unetr-wgpu/index.js')).clearModels());
    tab.server.instead.set(MODEL, { type: 'text/html; charset=utf-8', body: '<!doctype html><title>Log in</title>' });
    const html = await load({ model: MODEL, cache });
    assert.deepEqual([html.code, html.kept], ['network', []]);
    assert.match(html.message, /a web page instead of a model/);
    tab.server.instead.set(MODEL, { type: 'application/octet-stream', body: 'no model at all' });
    const text = await load({ model: MODEL, cache });
    assert.deepEqual([text.code, text.kept], ['bad-model', []], cache);
    assert.equal((await load({ model: MODEL, cache })).from, 'network');
    assert.equal((await load({ model: MODEL, cache })).from, cache);
  }

  await page.evaluate(async () => (await import('/unetr-wgpu/index.js')).clearModels());
  await load({ model: MODEL });
  // Another file is wanted: that is an error, and no reason to delete the one that is there.
  const other = await load({ model: MODEL, sha256: '0'.repeat(64) });
  assert.deepEqual([other.code, other.kept], ['checksum', [right]]);
  assert.equal((await load({ model: MODEL })).from, 'opfs');

  // What a visit left behind that kept whatever came.
  await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('unetr-wgpu');
    const write = async (name, data) => {
      const writable = await (await folder.getFileHandle(name)).createWritable();
      await writable.write(data);
      await writable.close();
    };
    for await (const name of folder.keys()) {
      if (!name.endsWith('.json')) continue;
      const record = JSON.parse(await (await (await folder.getFileHandle(name)).getFile()).text());
      const body = new TextEncoder().encode('<!doctype html>');
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', body));
      record.kept.sha256 = Array.from(hash, (b) => b.toString(16).padStart(2, '0')).join('');
      await write(record.kept.file, body);
      await write(name, JSON.stringify(record));
    }
  });
  const before = asked();
  const again = await load({ model: MODEL });
  assert.deepEqual([again.from, again.kept, asked() - before], ['network', [right], 1], 'it was dropped and fetched once more');
  await context.close();
});

test('two segmenters of one address download it once', async () => {
  const before = asked();
  const got = await tab.run(async ({ createSegmenter, fail }, { MODEL }) => {
    const controller = new AbortController();
    const all = [createSegmenter({ model: MODEL }), fail(createSegmenter({ model: MODEL, signal: controller.signal })), createSegmenter({ model: MODEL })];
    controller.abort();
    const [first, left, last] = await Promise.all(all);
    return { from: [first.model.from, last.model.from], left };
  });
  assert.deepEqual(got.from, ['network', 'opfs']);
  assert.equal(got.left.code, 'aborted', 'one that is stopped does not wait for the others');
  assert.equal(asked() - before, 1);
});

test('a misspelt option is refused, a callback that throws is called no more', async () => {
  const { page, problems, context } = await tab.page();
  const got = await page.evaluate(script(async ({ createSegmenter, importCheckpoint, scanToNifti, selfTest, bytes, fail }, { MODEL, SCAN }) => {
    const scan = await bytes(SCAN);
    let calls = 0;
    const onProgress = () => {
      calls += 1;
      throw new Error('of the page');
    };
    const segmenter = await createSegmenter({ model: MODEL, onProgress });
    const planned = await segmenter.plan(scan, { overlap: null });
    const errors = [
      await fail(createSegmenter({ model: MODEL, precison: 'f16' })), await fail(createSegmenter({ model: MODEL, adapter: 0 })),
      await fail(createSegmenter({ model: MODEL, precision: 'f64' })), await fail(createSegmenter({ model: MODEL, sha256: 'abc' })),
      await fail(createSegmenter({ model: MODEL, onProgress: true })), await fail(createSegmenter()),
      await fail(segmenter.plan(scan, { overlaps: 0.5 })), await fail(segmenter.segment(scan, { onLabel: () => {} })),
      await fail(segmenter.compile({ signal: {} })), await fail(segmenter.benchmark({ repeat: 2 })), await fail(segmenter.compare({}, scan, { Signal: 1 })),
      await fail(importCheckpoint(scan, { fields: {} })), await fail(scanToNifti(scan, { serie: 'x' })), await fail(selfTest({ onprogress: () => {} })),
    ];
    segmenter.dispose();
    return { calls, windows: planned.windows, errors: errors.map((e) => `${e?.code}: ${e?.message}`) };
  }));
  assert.equal(got.calls, 1);
  assert.equal(problems.length, 1);
  assert.match(problems[0], /onProgress threw and is not called again in this request/);
  assert.ok(got.windows > 0);
  const expected = [
    /createSegmenter has no option 'precison'; is 'precision' meant\?/, /createSegmenter has no option 'adapter'\. It has model, /,
    /options.precision is "f64": it must be one of "f32", "f16"/, /options.sha256 is "abc": it must be 64 hexadecimal digits/,
    /options.onProgress is true: it must be a function/, /the model must be a URL/, /plan has no option 'overlaps'; is 'overlap' meant/,
    /segment has no option 'onLabel'; is 'onLabels' meant/, /options.signal must be an AbortSignal/, /benchmark .* 'repeat'; is 'repeats' meant/,
    /compare .* 'Signal'; is 'signal' meant/, /importCheckpoint has no option 'fields'/, /scanToNifti .* 'serie'; is 'series' meant/,
    /selfTest .* 'onprogress'; is 'onProgress' meant/,
  ];
  for (const [i, pattern] of expected.entries()) assert.match(got.errors[i], new RegExp(`^bad-input: ${pattern.source}`));
  await context.close();
});

test('a page with Trusted Types runs the worker, or is told what to allow', async () => {
  for (const [policy, works] of [['unetr-wgpu', true], ["'none'", false]]) {
    const strict = await serve({ headers: { 'content-security-policy': `require-trusted-types-for 'script'; trusted-types ${policy}` } });
    try {
      const { page, context } = await open(tab.browser, `${strict.url}/isolated`);
      const got = await page.evaluate(script(async ({ scanToNifti, bytes }, { SCAN }) => {
        const scan = await bytes(SCAN);
        return scanToNifti(scan).then(({ nifti }) => nifti.length, (error) => `${error.name} ${error.code}: ${error.message}`);
      }));
      if (works) assert.equal(got, 352 + 4 * 42 * 57 * 52);
      else assert.match(got, /^UnetrError bad-input: this page's Trusted Types refuse the worker: add 'unetr-wgpu'/);
      await context.close();
    } finally {
      strict.close();
    }
  }
});

test('other programs than browsers import the package and are told what it needs', () => {
  const program = `
    import { checkSupport, createSegmenter, scanToNifti, selfTest, UnetrError } from ${JSON.stringify(fileURLToPath(new URL('../dist/unetr-wgpu/index.js', import.meta.url)))};
    const fail = (promise) => promise.then(() => null, (e) => [e instanceof UnetrError, e.code, e.message]);
    const { webgpu, reason } = await checkSupport();
    console.log(JSON.stringify([webgpu, reason, await fail(createSegmenter({ model: 'x.safetensors' })), await fail(selfTest()), await fail(scanToNifti(new Blob([])))]));`;
  const [webgpu, reason, made, tested, read] = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }));
  assert.equal(webgpu, false);
  assert.match(reason, /^This is no browser/);
  assert.deepEqual([made, tested], [[true, 'no-webgpu', reason], [true, 'no-webgpu', reason]]);
  assert.deepEqual(read.slice(0, 2), [true, 'internal']);
});
