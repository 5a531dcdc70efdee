// Models on their way into the tab: broken connections, what is kept, and what is checked.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { MODEL, SHA256, SHIPPED, pages } from './page.mjs';

const tab = pages();

test('a download that was broken off goes on after a reload', async () => {
  const { page, context } = await tab.page();
  const load = (stopAt) => page.evaluate(async ([MODEL, SHA256, stopAt]) => {
    const { createSegmenter } = await import('/unetr-wgpu/index.js');
    const controller = new AbortController();
    const onProgress = ({ phase, done }) => { if (phase === 'download' && done > stopAt) controller.abort(); };
    try {
      const segmenter = await createSegmenter({ model: MODEL, sha256: SHA256, signal: controller.signal, onProgress });
      segmenter.dispose();
      return segmenter.model.from;
    } catch (error) {
      return error.code;
    }
  }, [MODEL, SHA256, stopAt]);
  // Nothing more arrives before the page has stopped the download, however late it hears of its progress.
  tab.server.breaks.set(MODEL, [Math.round(0.4 * SHIPPED.bytes), 1, 1, 1, 1]);
  tab.server.log.length = 0;
  assert.equal(await load(Math.round(0.25 * SHIPPED.bytes)), 'aborted');
  // The worker is given the time to put down what it has.
  await page.waitForTimeout(500);
  tab.server.breaks.delete(MODEL);
  await page.reload();
  assert.equal(await load(Infinity), 'network');
  const ranges = tab.server.log.filter(({ path }) => path === MODEL).map(({ range }) => range);
  assert.match(ranges.at(-1), /^bytes=[1-9]\d*-$/, 'what was there was not asked for again');
  await context.close();
});

test('a broken download goes on where it stopped, is kept, and is checked when taken from there', async () => {
  tab.server.log.length = 0;
  tab.server.breaks.set(MODEL, Math.round(0.3 * SHIPPED.bytes));
  const got = await tab.run(async ({ createSegmenter, listModels, clearModels }, { MODEL, SHA256 }) => {
    const from = [];
    const load = async (options) => {
      const segmenter = await createSegmenter({ model: MODEL, ...options });
      from.push(segmenter.model.from);
      segmenter.dispose();
    };
    await load({ sha256: SHA256 });
    await load({});
    const kept = await listModels();
    // One byte of the kept file is changed.
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('unetr-wgpu');
    for await (const [name, handle] of folder.entries()) {
      if (!name.endsWith('.bin')) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: (await handle.getFile()).size >> 1, data: new Uint8Array([1, 2, 3]) });
      await writable.close();
    }
    await load({});
    await load({ cache: 'cache' });
    await load({ cache: 'cache' });
    await load({ cache: 'memory' });
    await load({ cache: 'memory' });
    const both = await listModels();
    await clearModels();
    return { from, kept, both, left: await listModels() };
  }, {}, { noise: true });
  const loads = tab.server.log.filter(({ path }) => path === MODEL);
  assert.equal(loads[0].range, null);
  assert.match(loads[1].range, /^bytes=[1-9]\d*-$/);
  assert.deepEqual(got.from, ['network', 'opfs', 'network', 'network', 'cache', 'network', 'memory']);
  assert.equal(loads.length, 5);
  assert.deepEqual(got.kept.map((m) => [m.bytes, m.sha256, m.complete, m.kept]), [[SHIPPED.bytes, SHA256, true, 'opfs']]);
  assert.deepEqual(got.both.map((m) => m.kept).sort(), ['cache', 'memory', 'opfs']);
  assert.deepEqual(got.left, []);
});

test('what the disk has no room for is kept in memory', async () => {
  const { page, context } = await tab.page();
  tab.server.log.length = 0;
  const session = await context.newCDPSession(page);
  await session.send('Storage.overrideQuotaForOrigin', { origin: tab.server.url, quotaSize: SHIPPED.bytes >> 1 });
  const got = await page.evaluate(async ([MODEL]) => {
    const { createSegmenter, listModels } = await import('/unetr-wgpu/index.js');
    const from = [];
    for (let i = 0; i < 2; i += 1) {
      const segmenter = await createSegmenter({ model: MODEL });
      from.push(segmenter.model.from);
      segmenter.dispose();
    }
    const kept = await listModels();
    // Another file is wanted: what is kept is no answer to that.
    const code = await createSegmenter({ model: MODEL, sha256: '0'.repeat(64) }).catch((error) => error.code);
    return { from, kept, code };
  }, [MODEL]);
  assert.deepEqual(got.from, ['network', 'memory']);
  assert.equal(got.code, 'checksum');
  assert.equal(tab.server.log.filter(({ path }) => path === MODEL).length, 2, 'it was asked for again');
  assert.deepEqual(got.kept.map((m) => [m.kept, m.bytes]), [['memory', SHIPPED.bytes]], 'half a file is not left behind');
  await context.close();
});

test('a broken download is whole in every place, and is deleted there', async () => {
  const { page, context } = await tab.page();
  for (const cache of ['opfs', 'cache', 'memory']) {
    tab.server.breaks.set(MODEL, Math.round(0.3 * SHIPPED.bytes));
    const { from, kept, left } = await page.evaluate(async ([model, sha256, cache]) => {
      const { createSegmenter, listModels, clearModels } = await import('/unetr-wgpu/index.js');
      const from = [];
      for (let i = 0; i < 2; i += 1) {
        const segmenter = await createSegmenter({ model, sha256, cache });
        from.push(segmenter.model.from);
        segmenter.dispose();
      }
      const kept = await listModels();
      await clearModels(model);
      return { from, kept: kept.map((m) => m.kept), left: await listModels() };
    }, [MODEL, SHA256, cache]);
    assert.deepEqual(from, ['network', cache]);
    assert.deepEqual([kept, left], [[cache], []]);
    assert.equal(tab.server.breaks.size, 0, 'it was broken');
  }
  await context.close();
});

test('a model in shards is checked shard by shard and goes on behind the last', async () => {
  const whole = new Uint8Array(await (await fetch(`${tab.server.url}${MODEL}`)).arrayBuffer());
  const hex = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const third = Math.ceil(whole.length / 3);
  const files = [0, 1, 2].map((i) => whole.subarray(i * third, (i + 1) * third));
  const shards = files.map((bytes, i) => ({ file: `m-${i}.bin`, bytes: bytes.length, sha256: hex(bytes) }));
  const index = JSON.stringify({ format: 'unetr-shards/1', bytes: whole.length, sha256: SHA256, shards });
  const { page, context } = await tab.page();
  // What the server has this time, each once; all else is not found.
  const load = async (there) => {
    for (const [name, body] of Object.entries(there)) tab.server.instead.set(`/sharded/${name}`, { type: 'application/octet-stream', body });
    const got = await page.evaluate(async () => {
      const { createSegmenter } = await import('/unetr-wgpu/index.js');
      try {
        const segmenter = await createSegmenter({ model: '/sharded/m.index.json' });
        segmenter.dispose();
        return `${segmenter.model.from} ${segmenter.model.sha256}`;
      } catch (error) {
        return `${error.code}: ${error.message}`;
      }
    });
    tab.server.instead.clear();
    return got;
  };
  assert.match(await load({ 'm.index.json': '{"format": "other"}' }), /^bad-model: .*no index of shards/);
  const damaged = new Uint8Array(third);
  assert.match(await load({ 'm.index.json': index, 'm-0.bin': files[0], 'm-1.bin': damaged }), /^checksum: .*m-1\.bin/);
  assert.match(await load({ 'm.index.json': index, 'm-0.bin': files[0], 'm-1.bin': files[1] }), /^network: .*m-2\.bin/);
  assert.equal(await load({ 'm.index.json': index, 'm-2.bin': files[2] }), `network ${SHA256}`);
  assert.equal(await load({}), `opfs ${SHA256}`);
  await context.close();
});
