// The web app from scan to labels, in one page that is used on and on. Screenshots are left in tests/out.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { LABELS, LISTED, LONG, accessible, blank, count, drag, opened, pixels, ready, saved, segmented, shown, words, written } from './app.mjs';
import { open } from './browser.mjs';
import { labels } from './nifti.mjs';
import { ROI, SHIPPED, out, pages, root } from './page.mjs';
import { nifti, series, tissue } from './synthetic.mjs';

const tab = pages();
/** @type {Awaited<ReturnType<typeof ready>>} */
let app;
let page;
const DIMS = [40, 52, 36];
const text = (id) => page.textContent(id);
const middle = async () => {
  const { x, y, width, height } = await page.locator('#view').boundingBox();
  return { x: x + width / 3, y: y + height / 2 };
};
/** No pixel of the scan is coloured, and letters only a little, so what is strongly coloured is a label. */
const ORANGE = (r, g, b) => r - b > 130 && r > g;
const BLUE = (r, g, b) => b - r > 100;
const LETTER = (r, g, b) => r > 200 && g > 180 && b < 170 && r - b > 60;
/** What is asked when the page is to be left, and whether it may. */
let asked = null;
let leave = true;

/** Does something in the menu of the view, which covers a part of the picture. */
const inView = async (work) => {
  await page.click('#view-menu-button');
  await work();
  await page.keyboard.press('Escape');
};

before(async () => {
  await tab.started;
  app = await ready(tab, { permissions: ['clipboard-read', 'clipboard-write'] });
  ({ page } = app);
  page.on('dialog', (dialog) => {
    asked = dialog.type();
    (leave ? dialog.accept() : dialog.dismiss()).catch(() => {});
  });
});
after(() => app?.context.close());

test('the first page: a whole head with its labels, one button, and little that is loaded', async (t) => {
  tab.server.log.length = 0;
  const first = await open(tab.browser, `${tab.server.url}/`, { viewport: { width: 1280, height: 800 } });
  await first.page.locator('body[data-phase=result]').waitFor(LONG);
  await first.page.waitForFunction(() => navigator.serviceWorker.ready.then(() => true), null, LONG);
  await first.page.waitForTimeout(1500);
  await first.page.screenshot({ path: `${out}app-first.png` });
  assert.equal(await first.page.textContent('#result-title'), 'Example result');
  const volumes = await first.page.$$eval('#legend .ml', (all) => all.map((c) => Number(c.textContent)));
  assert.ok(volumes.length > 4 && volumes.every((v) => v > 1), String(volumes));
  assert.equal(await first.page.isEnabled('#segment'), true);
  assert.match(await first.page.textContent('#plan'), /is loaded when you press Segment/);
  const loads = tab.server.log.filter(({ bytes }) => bytes > 0);
  const paths = loads.map(({ path }) => path);
  assert.deepEqual(paths.filter((path, i) => paths.indexOf(path) < i), [], 'nothing is loaded twice');
  assert.ok(!paths.some((path) => path.endsWith('.safetensors')), 'the model comes when it is used');
  const sum = loads.reduce((n, { bytes }) => n + bytes, 0);
  const wasm = loads.find(({ path }) => path.endsWith('.wasm'))?.bytes ?? 0;
  t.diagnostic(`${(sum / 1e6).toFixed(2)} MB before use, ${(wasm / 1e6).toFixed(2)} MB of them the module; with the model ${((sum + SHIPPED.bytes) / 1e6).toFixed(2)} MB`);
  // The module is larger where it was built to be quick.
  assert.ok(sum - Math.max(0, wasm - 2.3e6) <= 4.5e6, loads.map(({ path, bytes }) => `${path} ${bytes}`).join(', '));
  const manifest = await (await first.page.request.get(`${tab.server.url}/manifest.webmanifest`)).json();
  assert.deepEqual([manifest.start_url, manifest.display], ['./', 'standalone']);
  await accessible(first.page, 'first page');
  assert.deepEqual(first.problems, []);
  await first.context.close();
});

test('the 3-D view of a whole scan is drawn piece by piece, and ends as it is saved, which is drawn at once', async (t) => {
  const first = await blank(tab, { viewport: { width: 1280, height: 800 } });
  await first.page.goto(`${tab.server.url}/`);
  await first.page.locator('body[data-phase=result]').waitFor(LONG);
  await first.page.keyboard.press('l');
  await first.page.selectOption('#solid', 'scan', { force: true });
  await first.page.click('[data-layout=volume]');
  await first.page.evaluate(() => { globalThis.gap = 0; });
  const seen = await shown(first.page);
  t.diagnostic(`${(await first.page.evaluate(() => globalThis.gap)).toFixed(0)} ms without a frame`);
  const kept = await pixels(first.page, (await saved(first.page, '#save-image')).bytes);
  let [different, bright] = [0, 0];
  for (let y = 0; y < seen.height; y += 1) {
    for (let x = 0; x < seen.width; x += 1) {
      const [a, b] = [seen.data[4 * (y * seen.width + x)], kept.data[4 * (y * kept.width + x)]];
      // Rays start a random part of a step away from the surface, which differs between the two.
      different += Number(Math.abs(a - b) > 32);
      bright += Number(b > 60);
    }
  }
  assert.ok(bright > 20_000, `${bright} pixels of the head`);
  assert.ok(different < 0.005 * seen.width * seen.height, `${different} pixels differ`);
  assert.deepEqual(first.problems, []);
  await first.context.close();
});

test('brush and eraser change the label that is isolated, and none that is hidden', async () => {
  const first = await blank(tab, { viewport: { width: 1280, height: 800 } });
  await first.page.goto(`${tab.server.url}/`);
  await first.page.locator('body[data-phase=result]').waitFor(LONG);
  const row = first.page.locator('#legend tr').nth(2);
  const value = await row.getAttribute('data-value');
  await row.locator('.only').click();
  await first.page.click('[data-tool=brush]');
  assert.equal(await first.page.inputValue('#pen'), value);
  const volumes = () => first.page.$$eval('#legend tr[data-value]', (rows) => rows.map((own) => [own.dataset.value, Number(own.querySelector('.ml').textContent)]));
  const before = await volumes();
  await first.page.click('[data-layout=axial]');
  await first.page.click('[data-tool=eraser]');
  await first.page.selectOption('#brush', '9');
  const { x, y, width, height } = await first.page.locator('#view').boundingBox();
  await first.page.mouse.move(x + width * 0.3, y + height * 0.2);
  await first.page.mouse.down();
  for (let i = 0; i <= 24; i += 1) await first.page.mouse.move(x + width * (0.25 + 0.5 * (i % 2)), y + height * (0.2 + 0.025 * i), { steps: 6 });
  await first.page.mouse.up();
  const changed = (await volumes()).filter(([, ml], i) => ml !== before[i][1]);
  assert.deepEqual(changed.map(([own]) => own), [value], `${before}`);
  await row.locator('.only').click();
  assert.equal(await first.page.inputValue('#pen'), value, 'the brush goes on with it');
  assert.deepEqual(first.problems, []);
  await first.context.close();
});

test('a model and its example are there, and nothing is timed unasked', async (t) => {
  assert.match(await text('#adapter'), /swiftshader: software/);
  assert.match(await text('#scan-facts'), /\d+ × \d+ × \d+ voxels of [\d.]+ × [\d.]+ × [\d.]+ mm/);
  assert.match(await text('#plan'), new RegExp(`\\d+ windows? of ${ROI.join(' × ')}, \\d+ MiB on the GPU`));
  assert.match(await text('#models option:checked'), new RegExp(words(SHIPPED.package.name)));
  assert.match(await text('footer'), /Research use only\. Not a medical device\./);
  t.diagnostic(`longest time without a frame ${(await page.evaluate('gap')).toFixed(0)} ms`);
  assert.ok(!(await page.evaluate('phases')).some((phase) => phase === 'running' || phase === 'compiling'));
  assert.equal(await page.evaluate('asked.persist'), 0, 'nobody is asked to keep what nobody has put there');
});

test('a drag is seen anywhere, and dropped on the picture it opens the scan', async () => {
  const scan = nifti(DIMS, tissue);
  const [path] = written({ 'dropped.nii': scan });
  const at = await middle();
  const cancel = await drag(page, [path], at, { over: true });
  await page.locator('#drop-hint').waitFor();
  await cancel();
  await page.locator('#drop-hint').waitFor({ state: 'hidden' });
  await drag(page, [path], at);
  await opened(page, 'dropped.nii');
  assert.equal(await page.isVisible('#drop-hint'), false, 'the hint goes');
  assert.match(await text('#scan-facts'), /40 × 52 × 36 voxels/);
  assert.ok((await page.evaluate('phases')).includes('opening'), 'and that it is being opened is shown');
  assert.equal(await page.isVisible('#sample'), true);
});

test("the patient's right is on the left, with letters, until it is switched; grey levels are numbers", async () => {
  // Bright where x is low: on the patient's left side of a scan whose x runs to the right it would be on the picture's left.
  const [path] = written({ 'sides.nii': nifti(DIMS, (x) => (x < 20 ? 900 : 100) + (x % 3)) });
  await page.setInputFiles('#scan-input', path);
  await opened(page, 'sides.nii');
  await page.click('[data-layout=axial]');
  const bright = async () => {
    const { width, data } = await shown(page);
    const sums = [0, 0];
    for (let at = 0; at < data.length; at += 4) sums[Number((at / 4) % width > width / 2)] += data[at + 1];
    return sums[1] > sums[0] ? 'right' : 'left';
  };
  // x runs to the patient's right, so low x is the patient's left, and that is on the right.
  assert.equal(await bright(), 'right');
  await inView(() => page.click('#radiological'));
  assert.equal(await bright(), 'left');
  await inView(() => page.click('#radiological'));
  assert.equal(await bright(), 'right');
  await inView(() => page.selectOption('#preset', { label: 'CT lung' }));
  assert.deepEqual([await page.inputValue('#level'), await page.inputValue('#width')], ['-600', '1500']);
  const lung = await shown(page);
  await inView(async () => {
    await page.fill('#level', '500');
    await page.fill('#width', '800');
    await page.keyboard.press('Tab');
  });
  assert.equal(await page.inputValue('#preset'), 'Own');
  assert.ok(count(await shown(page), (r) => r > 245) < count(lung, (r) => r > 245), 'the picture follows');
  const { x, y } = await middle();
  await page.click('[data-tool=window]');
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + 30, y + 40, { steps: 4 });
  await page.mouse.up();
  assert.notEqual(await page.inputValue('#level'), '500', 'a drag changes the numbers');
  await page.click('#reset');
  assert.equal(await page.inputValue('#preset'), 'Automatic');
  await page.click('[data-tool=crosshair]');
  await page.click('#zoom-in');
  assert.equal(await text('#zoom'), '125 %');
  await page.click('#reset');
  assert.equal(await text('#zoom'), '100 %');
  await page.click('[data-layout=all]');
  await page.mouse.dblclick(x, y);
  assert.equal(await page.getAttribute('[data-layout=axial]', 'aria-pressed'), 'true', 'a double click enlarges');
  await page.mouse.dblclick(x, y);
  assert.equal(await page.getAttribute('[data-layout=all]', 'aria-pressed'), 'true');
});

test('a run without a network: told step by step, cancelled by a key, and right', async (t) => {
  await page.click('#sample');
  await page.locator('#segment:enabled').waitFor(LONG);
  await app.context.setOffline(true);
  tab.server.log.length = 0;
  await page.evaluate(() => { globalThis.gap = 0; globalThis.phases.length = 0; });
  const start = Date.now();
  await page.keyboard.press('s');
  assert.ok(await page.isVisible('#running'));
  assert.equal(await page.evaluate(() => document.activeElement.id), 'cancel', 'the focus stays with the run');
  await page.waitForFunction(() => /window|GPU/i.test(document.querySelector('#progress-text').textContent), null, { ...LONG, polling: 50 });
  await page.keyboard.press('Escape');
  await page.locator('#segment:enabled').waitFor(LONG);
  assert.equal(await page.isVisible('#message'), false);
  await segmented(page);
  t.diagnostic(`from the key to labels ${((Date.now() - start) / 1000).toFixed(1)} s; longest time without a frame ${(await page.evaluate('gap')).toFixed(0)} ms`);
  const rows = await page.$$eval('#legend tr', (all) => all.map((r) => [r.querySelector('.label').textContent, r.querySelector('.ml').textContent, r.querySelector('rect').getAttribute('fill')]));
  assert.deepEqual(rows.map((r) => [r[0].replace(/ at the edge$/, ''), r[2]]), LABELS.map((l) => [words(l.name), l.color]));
  assert.ok(rows.every((r) => Number(r[1]) > 0.3), `volumes ${rows.map((r) => r[1])}`);
  const largest = rows.reduce((a, b) => (Number(b[1]) > Number(a[1]) ? b : a));
  // The crosshair goes into the largest label.
  await page.waitForFunction((name) => new RegExp(`mm +[\\d.]+ +${name}$`).test(document.querySelector('#location').textContent), largest[0].replace(/ at the edge$/, ''), LONG);
  // Browsers look for a newer service worker whenever they can.
  assert.deepEqual(tab.server.log.filter(({ path }) => path !== '/sw.js'), [], 'nothing was asked for');
  await app.context.setOffline(false);
  assert.ok(await page.evaluate('asked.awake') > 0, 'the screen stays on during a run');
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${out}app-result.png` });
});

test('everything is saved from one menu, the picture without a hole', async () => {
  const stem = (await text('#scan-name')).replace(/\.nii\.gz$/, '');
  const file = await saved(page, '#save-labels');
  assert.equal(file.name, `${stem}_labels.nii.gz`);
  const first = labels(file.bytes).data.filter((l) => l === LABELS[0].value).length;
  const csv = await saved(page, '#save-csv');
  assert.match(csv.bytes.toString(), new RegExp(`${LABELS[0].name},${LABELS[0].value},,volume,ml,`));
  assert.equal(JSON.parse((await saved(page, '#save-json')).bytes)[LABELS[0].name].voxels, first);
  const record = JSON.parse((await saved(page, '#save-record')).bytes);
  assert.equal(record.model.sha256, SHIPPED.sha256);
  const glb = await saved(page, '#save-glb');
  assert.equal(glb.bytes.toString('latin1', 0, 4), 'glTF');
  assert.ok((await saved(page, '#save-stl')).bytes.readUInt32LE(80) > 500, 'triangles');
  const view = await page.locator('#view').boundingBox();
  const picture = await pixels(page, (await saved(page, '#save-image')).bytes);
  for (let at = 3; at < picture.data.length; at += 4) if (picture.data[at] !== 255) assert.fail(`a pixel of alpha ${picture.data[at]}`);
  assert.ok(picture.width > view.width && picture.height > view.height, 'with room for legend and notice');
  const within = (x0, y0, x1, y1, test) => {
    let n = 0;
    for (let y = Math.round(y0); y < y1; y += 1) for (let x = Math.round(x0), at = 4 * (y * picture.width + x); x < x1; x += 1, at += 4) n += Number(test(...picture.data.subarray(at, at + 3)));
    return n;
  };
  // The large view has letters at its four ends, the legend a patch of each label's colour, the foot a name and a notice.
  const [large, middle] = [0.66 * view.width, view.height / 2];
  for (const [x0, y0, x1, y1] of [
    [0, middle - 12, large / 4, middle + 12], [0.75 * large, middle - 12, large, middle + 12], [large / 2 - 12, 0, large / 2 + 12, 30], [large / 2 - 12, view.height - 30, large / 2 + 12, view.height],
  ]) assert.ok(within(x0, y0, x1, y1, LETTER) > 8, `a letter from ${x0}, ${y0}`);
  for (const { color } of LABELS) {
    const [red, green, blue] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
    assert.ok(within(view.width, 0, picture.width, view.height, (r, g, b) => r === red && g === green && b === blue) >= 150, `${color} in the legend`);
  }
  assert.ok(within(0, view.height, picture.width, picture.height, (r) => r > 150) > 300, 'the foot is written');
});

test('in 3-D labels are surfaces alone, in the scan cut open, or inside the whole scan', async () => {
  await page.click('[data-layout=volume]');
  const seen = async (solid) => {
    await inView(() => page.selectOption('#solid', solid));
    const picture = await shown(page);
    await page.screenshot({ path: `${out}app-3d-${solid}.png` });
    const grey = count(picture, (r, g, b) => r > 60 && Math.abs(r - g) < 12 && Math.abs(g - b) < 12);
    return { labels: count(picture, ORANGE) + count(picture, BLUE), grey };
  };
  const whole = await seen('scan');
  const cut = await seen('cut');
  const alone = await seen('surfaces');
  assert.ok(alone.labels > 2000 && alone.grey < 0.05 * whole.grey, JSON.stringify({ whole, cut, alone }));
  assert.ok(cut.labels > 100 && cut.labels > whole.labels && cut.grey > 10 * alone.grey, JSON.stringify({ whole, cut, alone }));
  await page.click('[data-layout=all]');
});

test('an isolated label is seen alone, without a rim of what is hidden', async () => {
  await page.click('[data-layout=axial]');
  await inView(async () => {
    await page.click('#crosshair');
    await page.fill('#opacity', '1');
  });
  await page.click('#legend tr:nth-child(2) .only');
  const second = await shown(page);
  await page.click('#legend tr:nth-child(1) .only');
  assert.equal(await page.getAttribute('#legend tr:nth-child(1) .only', 'aria-pressed'), 'true');
  const first = await shown(page);
  await page.screenshot({ path: `${out}app-alone.png` });
  const [a, b] = LABELS.map((l) => [1, 3, 5].map((at) => parseInt(l.color.slice(at, at + 2), 16)));
  const like = (c) => (c[0] > c[2] ? ORANGE : BLUE);
  assert.ok(count(first, like(a)) > 200 && count(second, like(b)) > 50, 'each is seen');
  assert.equal(count(first, like(b)), 0, 'nothing of the second');
  assert.equal(count(second, like(a)), 0, 'nothing of the first');
  assert.match(await text('#location'), new RegExp(`${words(LABELS[0].name)}$`), 'the crosshair is in it');
  await inView(() => page.click('#outline'));
  const outlined = count(await shown(page), like(a));
  assert.ok(outlined > 20 && outlined < count(first, like(a)), 'outlines instead of fill');
  const grey = async () => count(await shown(page), (r, g, b) => r > 60 && r === g && g === b);
  const opaque = await grey();
  await inView(() => page.fill('#scan-opacity', '0'));
  assert.ok(await grey() < 0.2 * opaque, 'the scan fades');
  await inView(async () => {
    await page.fill('#scan-opacity', '1');
    await page.click('#outline');
    await page.click('#crosshair');
    await page.fill('#opacity', '0.6');
  });
  await page.click('#legend tr:nth-child(1) .only');
  await page.click('[data-layout=all]');
});

test('a label file is recognised and compared; the result is kept when another scan comes', async () => {
  const name = await text('#scan-name');
  const mine = await saved(page, '#save-labels');
  const before = await page.$$eval('#legend .ml', (all) => all.map((c) => c.textContent));
  const [path] = written({ 'by_hand.nii.gz': mine.bytes });
  await drag(page, [path], await middle());
  await page.locator('#choice[open]').waitFor();
  assert.match(await text('#choice-title'), /by_hand\.nii\.gz holds labels/);
  await page.screenshot({ path: `${out}app-choice.png` });
  await accessible(page, 'choice');
  await page.click('#choice button[value=compare]');
  await page.locator('#comparison').waitFor(LONG);
  assert.equal(await text('#scan-name'), name, 'it is not opened as a scan');
  const scores = await page.$$eval('#legend tr', (all) => all.map((r) => r.querySelector('.dice').textContent));
  assert.deepEqual(scores, LABELS.map(() => '1.000'));
  assert.match(await text('#comparison-of'), /by_hand\.nii\.gz, drawn as a dashed line/);
  await page.screenshot({ path: `${out}app-compared.png` });
  await accessible(page, 'compared');
  await page.click('#hide-reference');
  assert.equal(await page.isVisible('#comparison'), false);
  await page.setInputFiles('#reference-input', written({ 'other_grid.nii': nifti([5, 6, 7], () => 1, { type: 'uint8' }) })[0]);
  await page.locator('#message').waitFor();
  assert.match(await text('#message'), /other_grid\.nii/);

  const [next] = written({ 'next.nii': nifti(DIMS, tissue) });
  await page.setInputFiles('#scan-input', next);
  await opened(page, 'next.nii');
  assert.doesNotMatch(await text('#location'), new RegExp(LABELS.map((l) => words(l.name)).join('|')), 'no tissue of another scan is read out');
  assert.equal(await page.isVisible('#result'), false);
  const [labelled] = written({ 'expert.nii': nifti(DIMS, (x, y, z) => Number(Math.hypot(x - 15, y - 15, z - 15) < 8), { type: 'uint8' }) });
  await drag(page, [labelled], await middle());
  await page.locator('#choice[open]').waitFor();
  assert.equal(await page.locator('#choice button[value=compare]').count(), 0, 'there is no result to compare with');
  await page.click('#choice button[value=draw]');
  await page.locator('#drawn').waitFor();
  assert.match(await text('#drawn'), /expert\.nii is drawn as a dashed line/);
  await page.screenshot({ path: `${out}app-drawn.png` });
  await accessible(page, 'drawn');
  await page.click('#hide-drawn');
  assert.equal(await page.isVisible('#drawn'), false);
  await page.click('#go-back');
  await page.locator('body[data-phase=result]').waitFor(LONG);
  await opened(page, name);
  assert.deepEqual(await page.$$eval('#legend .ml', (all) => all.map((c) => c.textContent)), before);
});

test('brush, eraser and undo change labels, volumes and what is saved', async () => {
  const volumes = () => page.$$eval('#legend .ml', (all) => all.map((c) => Number(c.textContent)));
  const before = await volumes();
  await page.click('[data-layout=axial]');
  await page.click('[data-tool=eraser]');
  await page.selectOption('#brush', '9');
  const { x, y, width, height } = await page.locator('#view').boundingBox();
  await page.mouse.move(x + width * 0.3, y + height * 0.3);
  await page.mouse.down();
  for (let i = 0; i <= 12; i += 1) await page.mouse.move(x + width * (0.3 + 0.4 * (i % 2)), y + height * (0.2 + 0.05 * i), { steps: 6 });
  await page.mouse.up();
  const erased = await volumes();
  assert.ok(erased.reduce((a, b) => a + b) < before.reduce((a, b) => a + b) - 0.05, `${before} -> ${erased}`);
  assert.match(await text('#result-title'), /corrected by hand/);
  const file = await saved(page, '#save-labels');
  assert.match(file.name, /_labels_corrected\.nii\.gz$/);
  const kept = labels(file.bytes).data;
  const ml = (value) => kept.reduce((n, v) => n + Number(v === value), 0);
  const csv = (await saved(page, '#save-csv')).bytes.toString();
  assert.match(csv, new RegExp(`${LABELS[0].name},${LABELS[0].value},,voxels,1,${ml(LABELS[0].value)}\\b`));
  await page.click('#undo');
  assert.deepEqual(await volumes(), before);
  await page.click('[data-tool=brush]');
  await page.selectOption('#pen', { index: 1 });
  await page.screenshot({ path: `${out}app-brush.png` });
  await accessible(page, 'brush');
  await page.mouse.move(x + width * 0.45, y + height * 0.5);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.55, y + height * 0.55, { steps: 8 });
  await page.mouse.up();
  assert.ok((await volumes())[1] > before[1], 'the second label has grown');
  const yellow = async () => count(await shown(page), LETTER);
  const letters = await yellow();
  await page.click('[data-tool=distance]');
  await page.mouse.move(x + width * 0.4, y + height * 0.4);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, y + height * 0.4, { steps: 5 });
  await page.mouse.up();
  assert.ok(await yellow() > letters + 60, 'the distance is drawn');
  await page.click('#clear-distances');
  await page.click('[data-tool=crosshair]');
  await page.click('[data-layout=all]');
});

test('a map of uncertainty leaves the scan as bright as it is where nothing is uncertain', async () => {
  await page.check('#ask-uncertainty');
  await segmented(page);
  await page.locator('#save-uncertainty').waitFor({ state: 'attached' });
  await inView(() => page.uncheck('#labels-shown'));
  const bright = async () => count(await shown(page), (r, g, b) => r > 110 && Math.abs(r - g) < 12 && Math.abs(g - b) < 12);
  const over = await bright();
  await page.screenshot({ path: `${out}app-uncertainty-over.png` });
  await inView(() => page.uncheck('#uncertainty'));
  const without = await bright();
  assert.ok(without > 2000 && over > 0.6 * without, `${over} bright pixels with it, ${without} without`);
  await inView(async () => {
    await page.check('#labels-shown');
    await page.check('#uncertainty');
    await page.uncheck('#outline');
  });
  await page.uncheck('#ask-uncertainty');
});

test('leaving with a result that is not saved is asked about', async () => {
  asked = null;
  leave = false;
  await page.close({ runBeforeUnload: true });
  await page.waitForTimeout(500);
  assert.equal(asked, 'beforeunload');
  assert.equal(page.isClosed(), false);
  leave = true;
});

test('of two series or several frames one is chosen by looking', async () => {
  const files = {
    ...series({ uid: '1.2.3.101', description: 'T1 coronal', rows: 40, columns: 36, slices: 34, value: tissue }),
    ...series({ uid: '1.2.3.102', description: 'scout', rows: 16, columns: 16, slices: 3, value: tissue }),
  };
  const paths = written(Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`study/${name}`, bytes])));
  await drag(page, [paths[0].slice(0, paths[0].lastIndexOf('/'))], await middle());
  await page.locator('#choice[open]').waitFor(LONG);
  assert.match(await text('#choice-title'), /2 series/);
  assert.match(await text('#choice-body'), /T1 coronal.*MR, 36 × 40, 34 files.*scout.*MR, 16 × 16, 3 files/);
  await page.locator('#choice canvas.thumbnail').nth(1).waitFor(LONG);
  await page.screenshot({ path: `${out}app-series.png` });
  await accessible(page, 'series');
  await page.click('#choice button[value=ok]');
  await opened(page, 'T1 coronal (34 files)');
  assert.match(await text('#scan-facts'), /36 × 40 × 34 voxels of 1 × 1 × 1 mm/);
  const [time] = written({ 'time.nii': nifti([30, 30, 30, 5], (x, y, z, t) => tissue(x, y, z) + 10 * t) });
  await page.setInputFiles('#scan-input', time);
  await page.locator('#choice[open]').waitFor(LONG);
  assert.equal(await page.$$eval('#choice select option', (all) => all.length), 5);
  await page.selectOption('#choice select', '2');
  await page.click('#choice button[value=ok]');
  await opened(page, 'time_frame3.nii');
  assert.match(await text('#scan-notes'), /of 5 frames: 3/);
});

test('what cannot be opened is said in plain words, and what is open stays', async () => {
  const name = await text('#scan-name');
  const [letter, photo] = written({ 'letter.txt': 'Dear reader,', 'photo.jpg': 'JFIF' });
  await drag(page, [letter], await middle());
  await page.locator('#message').waitFor();
  assert.match(await text('#message'), /letter\.txt is a document, not a scan\. Open NIfTI/);
  await page.screenshot({ path: `${out}app-bad-scan.png` });
  await accessible(page, 'error');
  await drag(page, [photo], await middle());
  await page.waitForFunction(() => /photo\.jpg is a picture/.test(document.querySelector('#message').textContent));
  assert.equal(await text('#scan-name'), name);
  await drag(page, written({ 'weights.safetensors': 'none' }), await middle());
  await page.waitForFunction(() => /weights\.safetensors is no model/.test(document.querySelector('#message').textContent), null, LONG);
  assert.ok((await text('#models option:checked')).startsWith(words(SHIPPED.package.name)));
});

test('a scan unlike those the model was trained on is told before the work, and the card says what it is not for', async () => {
  await page.setInputFiles('#scan-input', written({ 'long.nii': nifti([150, 20, 20], tissue) })[0]);
  await opened(page, 'long.nii');
  assert.match(await text('#doubts'), /Unlike the scans this model was trained on.*150 x 20 x 20 mm.*not for: whole heads/s);
  assert.equal(await page.isEnabled('#segment'), true, 'nothing is refused');
  await page.screenshot({ path: `${out}app-doubts.png` });
  await accessible(page, 'doubts');
  await page.click('#card-button');
  assert.match(await text('#card-facts'), /Not for.*whole heads.*Trained on.*204 scans/s);
  await page.click('#card [data-close]');
});

test('after one visit the page works without a network', async () => {
  await app.context.setOffline(true);
  tab.server.log.length = 0;
  await page.reload();
  await page.locator('#segment:enabled').waitFor(LONG);
  // Browsers look for a newer service worker whenever they can.
  assert.deepEqual(tab.server.log.filter(({ path }) => path !== '/sw.js'), []);
  await app.context.setOffline(false);
});

test('a checkpoint is imported: what was typed stays when it is wrong, and what fits is suggested', async () => {
  await page.setInputFiles('#model-input', `${root}tests/golden/torch-checkpoints/plain-state-dict.pt`);
  await page.locator('#import[open]').waitFor();
  const fields = await page.$$eval('#import-fields input', (all) => all.map((i) => i.name));
  assert.deepEqual(fields, ['network.img_size', 'network.num_heads']);
  const suggested = await page.$$eval('#import-fields datalist', (all) => all.map((l) => [...l.options].map((o) => o.value)));
  assert.ok(suggested.every((values) => values.length > 0), JSON.stringify(suggested));
  assert.ok(suggested[0].includes('32, 16, 16'), 'what is right is among them');
  await page.fill('#import-fields input >> nth=0', '96, 96, 96');
  await page.fill('#import-fields input >> nth=1', '2');
  await page.click('#import button[value=ok]');
  await page.locator('#import-fault').waitFor(LONG);
  assert.match(await text('#import-fault'), /img_size|patches/);
  assert.deepEqual(await page.$$eval('#import-fields input', (all) => all.map((i) => i.value)), ['96, 96, 96', '2'], 'what was typed stays');
  await page.screenshot({ path: `${out}app-import.png` });
  await accessible(page, 'import');
  await page.fill('#import-fields input >> nth=0', '32, 16, 16');
  await page.click('#import button[value=ok]');
  await page.locator('#assumed').waitFor(LONG);
  assert.match(await text('#model-warnings'), /input\.channels is not given/);
  await page.click('#assumed summary');
  await accessible(page, 'assumed');
  const file = await saved(page, '#save-model');
  assert.match(file.name, /\.safetensors$/);
  assert.ok(file.bytes.includes('unetr/'));
  await page.click('#keep-model');
  await page.waitForFunction(() => /is kept in this browser/.test(document.querySelector('#message').textContent), null, LONG);
  await page.locator('#keep-model').waitFor({ state: 'hidden' });
  const second = await page.context().newPage();
  await second.goto(`${tab.server.url}/`);
  await second.locator('body[data-phase=result]').waitFor(LONG);
  assert.equal(await second.$$eval('#models option', (all) => all.length), LISTED + 1, 'the next visit has it');
  await second.selectOption('#models', { index: LISTED });
  await second.waitForFunction(() => /Takes/.test(document.querySelector('#model-facts').textContent), null, LONG);
  await second.click('#card-button');
  await second.click('#forget-model');
  await second.locator('#forget-model').waitFor({ state: 'hidden' });
  await second.reload();
  await second.locator('body[data-phase=result]').waitFor(LONG);
  assert.equal(await second.$$eval('#models option', (all) => all.length), LISTED, 'what was removed is gone');
  await second.close();
  assert.equal(await page.$$eval('#models option', (all) => all.length), LISTED + 1);
  await page.selectOption('#models', { index: 1 });
  await page.waitForFunction((name) => document.querySelector('#model-facts').textContent.includes(name), words(LABELS[0].name), LONG);
  assert.equal(await page.isVisible('#assumed'), false);
  await page.click('#card-button');
  assert.match(await text('#card'), new RegExp(`${SHIPPED.package.version}.*${SHIPPED.package.licence}`));
  await page.click('#card [data-close]');
});

test('diagnostics tell adapter, run and kept models, and nothing went wrong all the while', async () => {
  await page.click('#adapter');
  await page.click('#copy');
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(copied, /adapter +google swiftshader \(software: runs on the CPU\)/);
  await page.screenshot({ path: `${out}app-diagnostics.png` });
  await page.locator('#clear-models:enabled').click();
  await page.waitForFunction(() => /No models/.test(document.querySelector('#kept-models').textContent));
  await page.click('#close');
  assert.deepEqual(app.problems.filter((p) => !/ERR_INTERNET_DISCONNECTED/.test(p)), []);
});
