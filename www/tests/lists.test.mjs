// Several scans in the app: a list that is worked through, kept in the browser, and taken up at the next visit.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { LONG, accessible, blank, drag, opened, saved, written } from './app.mjs';
import { out, pages } from './page.mjs';
import { nifti, tissue } from './synthetic.mjs';
import { tinyPackage } from './tiny.mjs';

const MODEL = '/tiny.safetensors';
const tab = pages({ [MODEL]: tinyPackage().bytes });
let app;
let page;
/** The model is there, and what an earlier visit has left. */
const ready = () => page.waitForFunction(() => /Takes MR/.test(document.querySelector('#model-facts').textContent) && document.querySelector('#offline').checkVisibility(), null, LONG);

before(async () => {
  await tab.started;
  app = await blank(tab, { viewport: { width: 1280, height: 800 } });
  ({ page } = app);
  page.on('dialog', (dialog) => { dialog.accept().catch(() => {}); });
  await page.goto(`${tab.server.url}/?model=${MODEL}`);
  await ready();
});
after(() => app?.context.close());

test('several scans become a list, with one table, that outlives the page and goes on after it', async () => {
  const paths = written({ 'one.nii': nifti([30, 40, 30], tissue), 'two.nii': nifti([31, 40, 30], (x, y, z) => tissue(z, y, x)) });
  await drag(page, paths, { x: 800, y: 400 });
  await page.locator('#choice[open]').waitFor(LONG);
  await page.click('#choice button[value=list]');
  await page.locator('#queue-run', { hasText: 'Stop' }).click();
  await page.waitForFunction(() => /^0 of 2 scans done, 2 waiting/.test(document.querySelector('#queue-state').textContent), null, LONG);
  assert.ok(await page.evaluate('asked.persist') > 0, 'the browser is asked to keep them');
  await page.locator('body[data-phase=ready]').waitFor(LONG);
  await page.reload();
  await ready();
  await page.click('#queue-run');
  await page.waitForFunction(() => /^2 of 2 scans done/.test(document.querySelector('#queue-state').textContent), null, LONG);
  await page.screenshot({ path: `${out}app-queue.png` });
  await accessible(page, 'list');
  const csv = (await saved(page, '#queue-csv')).bytes.toString().trim().split('\n');
  assert.match(csv[0], /^scan,label,/);
  assert.deepEqual([...new Set(csv.slice(1).map((l) => l.split(',')[0]))], ['one.nii', 'two.nii']);
  assert.equal((await saved(page, '#queue-zip')).bytes.toString('latin1', 0, 2), 'PK');
  await page.reload();
  await ready();
  await page.locator('#queue').waitFor(LONG);
  await page.click('#queue-rows tr:nth-child(1) button');
  await opened(page, 'one.nii');
  await page.locator('#result').waitFor(LONG);
  await page.click('#queue-clear');
  await page.locator('#queue').waitFor({ state: 'hidden' });
  assert.deepEqual(app.problems, []);
});
