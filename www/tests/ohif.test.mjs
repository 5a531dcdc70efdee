// The extension in OHIF's published program, over a DICOMweb server: panel, run, cancel, segmentation, DICOM SEG downloaded and stored.
// The program (50 MB) is found below the folder that UNETR_OHIF names: `dist` of the npm package @ohif/app, which scripts/ohif fetches.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import dcmjs from 'dcmjs';

import { launch, open } from './browser.mjs';
import { dicomweb } from './dicomweb.mjs';
import { SHIPPED, native, out, root } from './page.mjs';
import { serve } from './server.mjs';
import { sampleSeries } from './synthetic.mjs';
import { tinyPackage } from './tiny.mjs';
import { bundled } from './viewers.mjs';

const folder = process.env.UNETR_OHIF ?? `${root}target/ohif/package/dist`;
const skip = existsSync(`${folder}/index.html`) ? false : 'not run: OHIF is not there (scripts/ohif fetches it, or UNETR_OHIF names it)';
const [nx, ny, nz] = [42, 57, 52];
const UID = '1.2.840.99999.8';
const LABELS = SHIPPED.package.output.labels;
const CONFIG = `window.config = {
  routerBasename: null, showStudyList: true, useSharedArrayBuffer: 'FALSE', investigationalUseDialog: { option: 'never' }, maxNumberOfWebWorkers: 1, showLoadingIndicator: true,
  extensions: ['extension-unetr'],
  unetr: { models: [{ name: 'Hippocampus', url: '/tiny.safetensors' }] },
  modes: ['extension-unetr/mode'],
  defaultDataSourceName: 'dicomweb',
  dataSources: [{ namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'dicomweb', configuration: {
    friendlyName: 'test', name: 'test', wadoUriRoot: '/dicomweb', qidoRoot: location.origin + '/dicomweb', wadoRoot: location.origin + '/dicomweb', imageRendering: 'wadors', thumbnailRendering: 'wadors',
    qidoSupportsIncludeField: false, supportsReject: false, supportsFuzzyMatching: false, supportsWildcard: false, supportsStow: true, enableStudyLazyLoad: true, dicomUploadEnabled: false, singlepart: 'bulkdata',
  } }],
};`;

const tiny = skip ? null : tinyPackage();
let server;
let browser;
let web;

before(async () => {
  if (skip) return;
  const viewers = await bundled(
    { 'extension-unetr': "export { default } from './ohif/index.js';", 'mode-unetr': "export { default } from './ohif/mode.js';" },
    { at: '/repo/www/dist/unetr-wgpu', alias: { react: 'react-18' } },
  );
  web = dicomweb(sampleSeries(UID, 'HippoCrop'));
  const map = '<script type="importmap">{"imports": {"extension-unetr": "/viewers/extension-unetr.js", "extension-unetr/mode": "/viewers/mode-unetr.js"}}</script>';
  const page = readFileSync(`${folder}/index.html`, 'utf8').replace('<head>', `<head>${map}`);
  const answer = async (request, response, path) => {
    if (path === '/unetr') response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
    return path === '/unetr' || web.answer(request, response, path);
  };
  server = await serve({ folder, files: { ...viewers, '/app-config.js': Buffer.from(CONFIG), '/tiny.safetensors': tiny.bytes }, answer });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

test('a series in OHIF is segmented from the panel, and stored as DICOM SEG', { skip }, async () => {
  const { page, context } = await open(browser, `${server.url}/unetr?StudyInstanceUIDs=1.2.3`, { viewport: { width: 1400, height: 900 }, acceptDownloads: true });
  const panel = page.locator('[data-cy=unetr-panel]');
  await panel.getByText('Series: HippoCrop, 52 slices').waitFor();
  await panel.getByRole('button', { name: 'Segment' }).click();
  await panel.getByRole('progressbar').waitFor();
  await panel.getByRole('button', { name: 'Cancel' }).click();
  await panel.getByText('Cancelled').waitFor();
  assert.equal(await page.evaluate(() => globalThis.cornerstoneTools.segmentation.state.getSegmentations().length), 0);
  // By command, with a model that is not there.
  await page.evaluate(() => globalThis.commandsManager.runCommand('segmentUnetr', { model: '/nowhere.safetensors' }));
  await panel.getByRole('status').getByText(/nowhere\.safetensors/).waitFor();
  await panel.getByRole('button', { name: 'Segment' }).click();
  await panel.getByText('Done: HippoCrop').waitFor();
  await page.waitForTimeout(2000);
  await page.screenshot({ path: `${out}ohif.png` });
  const got = await page.evaluate(() => {
    const { cornerstone: core, cornerstoneTools: tools } = globalThis;
    const [{ segmentationId, segments, label, representationData }] = tools.segmentation.state.getSegmentations();
    const images = representationData.Labelmap.imageIds.map((id) => core.cache.getImage(id));
    const viewports = tools.segmentation.state.getViewportIdsWithSegmentation(segmentationId);
    return {
      label, names: Object.values(segments).map((s) => s.label), viewports: viewports.length, colors: Object.keys(segments).map((v) => tools.segmentation.config.color.getSegmentIndexColor(viewports[0], segmentationId, Number(v))),
      slices: images.map((image) => ({
        position: core.metaData.get('imagePlaneModule', image.referencedImageId).imagePositionPatient, pixels: Array.from(image.voxelManager.getScalarData()),
      })),
    };
  });
  assert.match(got.label, /research use only/);
  assert.deepEqual(got.names, LABELS.map(({ name }) => name));
  assert.ok(got.viewports >= 1);
  assert.deepEqual(got.colors.map((c) => c.slice(0, 3)), LABELS.map(({ color }) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16))));
  // The native program's labels of the sample; rows of the series run to the back, its columns to the left.
  const known = native(`${root}models/samples/hippocampus.nii.gz`, tiny.path).data;
  const differ = (z, pixels) => pixels.reduce((n, v, i) => n + Number(v !== known[nx - 1 - (i % nx) + nx * (ny - 1 - Math.floor(i / nx) + ny * z)]), 0);
  assert.equal(got.slices.length, nz);
  const differing = got.slices.reduce((n, { position, pixels }) => n + differ(position[2], pixels), 0);
  assert.ok(differing <= 12, `${differing} voxels`);

  await page.evaluate(readFileSync(`${root}www/node_modules/axe-core/axe.min.js`, 'utf8'));
  const { violations } = await page.evaluate(() => globalThis.axe.run('[data-cy=unetr-panel]'));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((n) => n.html)]), []);

  const [download] = await Promise.all([page.waitForEvent('download'), panel.getByRole('button', { name: 'Download SEG' }).click()]);
  const file = readFileSync(await download.path());
  const seg = dcmjs.data.DicomMetaDictionary.naturalizeDataset(dcmjs.data.DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.length)).dict);
  assert.deepEqual([seg.Modality, seg.StudyInstanceUID, seg.FrameOfReferenceUID], ['SEG', '1.2.3', '1.2.3.9']);
  const { version } = SHIPPED.package;
  assert.deepEqual([seg.SegmentSequence].flat().map((s) => [s.SegmentLabel, s.SegmentAlgorithmType, s.SegmentAlgorithmName]), LABELS.map(({ name }) => [name, 'AUTOMATIC', `tiny ${version}`]));

  await panel.getByRole('button', { name: 'Store SEG' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByPlaceholder('Report name').fill('Hippocampus by UNETR');
  await dialog.getByRole('button', { name: 'Save' }).click();
  for (let i = 0; i < 100 && web.stored.length === 0; i += 1) await page.waitForTimeout(100);
  assert.deepEqual(web.stored.map((object) => [object.Modality, object.StudyInstanceUID, object.SeriesDescription]), [['SEG', '1.2.3', 'Hippocampus by UNETR']]);
  await context.close();
});
