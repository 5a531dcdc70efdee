// The module for Cornerstone3D against the real libraries: a DICOM series by its image loader, labels in place, DICOM SEG and back.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import dcmjs from 'dcmjs';

import { written } from './app.mjs';
import { launch, open } from './browser.mjs';
import { labels as labelsOf } from './nifti.mjs';
import { SCAN, SHIPPED, out, root, unetr } from './page.mjs';
import { serve } from './server.mjs';
import { sampleSeries } from './synthetic.mjs';
import { tinyPackage } from './tiny.mjs';
import { bundled } from './viewers.mjs';

const UID = '1.2.840.99999.7';
const series = sampleSeries(UID, 'HippoCrop');
const [nx, ny, nz] = [42, 57, 52];
const LABELS = SHIPPED.package.output.labels;
const tiny = tinyPackage();
/** What the native program writes of the series: its labels, and DICOM SEG of both kinds. */
const native = {};
let server;
let browser;

before(async () => {
  const viewers = await bundled({
    cornerstone: `
      export * as core from '@cornerstonejs/core';
      export * as tools from '@cornerstonejs/tools';
      export * as loader from '@cornerstonejs/dicom-image-loader';
      export * as adapters from '@cornerstonejs/adapters';
      export { default as dcmjs } from 'dcmjs';`,
    // Where the image loader looks for it.
    decodeImageFrameWorker: "import './node_modules/@cornerstonejs/dicom-image-loader/dist/esm/decodeImageFrameWorker.js';",
  });
  const folder = dirname(written(series)[0]);
  for (const [name, ...more] of [['labels.nii.gz'], ['binary.dcm'], ['labelmap.dcm', '--seg', 'labelmap']]) {
    execFileSync(unetr, ['segment', folder, '-m', tiny.path, '-o', `${folder}-${name}`, ...more], { stdio: 'pipe' });
    native[name] = readFileSync(`${folder}-${name}`);
  }
  const files = Object.fromEntries(Object.entries(series).map(([name, bytes]) => [`/series/${name}`, bytes]));
  server = await serve({ files: { ...viewers, ...files, '/tiny.safetensors': tiny.bytes, '/binary.dcm': native['binary.dcm'], '/labelmap.dcm': native['labelmap.dcm'] } });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** In the page: Cornerstone with a viewport that shows the series. */
const SERIES = async ({ names, origin }) => {
  const { core, tools, loader, adapters, dcmjs } = await import('/viewers/cornerstone.js');
  document.body.innerHTML = '<div id="view" style="width:500px;height:500px"></div>';
  await core.init();
  await tools.init();
  loader.init({ maxWebWorkers: 1 });
  const imageIds = names.map((name) => `wadouri:${origin}/series/${name}`);
  await Promise.all(imageIds.map((id) => core.imageLoader.loadAndCacheImage(id)));
  const engine = new core.RenderingEngine('engine');
  engine.enableElement({
    viewportId: 'axial', type: core.Enums.ViewportType.ORTHOGRAPHIC, element: document.getElementById('view'), defaultOptions: { orientation: core.Enums.OrientationAxis.AXIAL },
  });
  const volume = await core.volumeLoader.createAndCacheVolume('scan', { imageIds });
  const viewport = engine.getViewport('axial');
  await viewport.setVolumes([{ volumeId: 'scan' }]);
  viewport.render();
  return { core, tools, adapters, dcmjs, imageIds, volume, viewport };
};

/** In the page: labels in the viewport, and what Cornerstone says of them. */
const PAGE = async ({ SCAN }, { core, tools, adapters, dcmjs, imageIds, volume, viewport }) => {
  const { createSegmenter } = await import('/unetr-wgpu/index.js');
  const { segmentCornerstone } = await import('/unetr-wgpu/cornerstone3d.js');
  const segmenter = await createSegmenter({ model: '/tiny.safetensors' });
  let told = 0;
  core.eventTarget.addEventListener(tools.Enums.Events.SEGMENTATION_DATA_MODIFIED, () => { told += 1; });
  const phases = new Set();
  const cornerstone = { core, tools };
  const labels = await segmentCornerstone(cornerstone, { volumeId: 'scan', segmenter, onProgress: ({ phase }) => phases.add(phase) });
  const { result, segmentationId } = labels;
  const map = core.cache.getVolume(segmentationId);
  // Every voxel that Cornerstone holds, with its place in the patient (LPS), against the result's (RAS).
  const [nx, ny, nz] = result.dims;
  const held = map.voxelManager.getCompleteScalarDataArray();
  const places = [];
  let differ = 0;
  for (let z = 0, at = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0; x < nx; x += 1, at += 1) {
        const want = result.labels[(x * ny + y) * nz + z];
        if (held[at] !== want) differ += 1;
        if (want && at % 41 === 0) {
          const [l, p, s] = map.imageData.indexToWorld([x, y, z]);
          const ras = result.affine.slice(0, 3).map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
          places.push([Math.abs(l + ras[0]), Math.abs(p + ras[1]), Math.abs(s - ras[2])].reduce((a, b) => Math.max(a, b)));
        }
      }
    }
  }
  const { segments, label } = tools.segmentation.state.getSegmentation(segmentationId);
  const colors = result.labelTable.map(({ value }) => tools.segmentation.config.color.getSegmentIndexColor('axial', segmentationId, value));
  const which = { segmentationId, type: tools.Enums.SegmentationRepresentations.Labelmap };
  const visible = () => result.labelTable.map(({ value }) => tools.segmentation.config.visibility.getSegmentIndexVisibility('axial', which, value));
  labels.isolate(1);
  const one = visible();
  labels.isolate(null);
  const every = visible();
  const base64 = (buffer) => btoa(Array.from(new Uint8Array(buffer), (v) => String.fromCharCode(v)).join(''));
  const seg = labels.toDicomSeg({ adapters, dcmjs });
  // Read back over the source series as a viewer does.
  const read = await adapters.adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(volume.imageIds, seg, { metadataProvider: core.metaData, tolerance: 1e-3 })
    .then(({ labelMapImages }) => labelMapImages.flat().reduce((n, image, z) => {
      const pixels = image.voxelManager.getScalarData();
      return n + pixels.reduce((m, v, i) => m + Number(v !== held[z * nx * ny + i]), 0);
    }, 0));
  const badKind = (() => { try { labels.toDicomSeg({ adapters, dcmjs, kind: 'x' }); return null; } catch (e) { return e.message; } })();

  // The file that the series was made of.
  const known = await segmenter.segment(await (await fetch(SCAN)).blob());
  const images = () => core.cache.getCacheSize();
  const before = images();
  const stop = new AbortController();
  const stopped = await segmentCornerstone(cornerstone, { imageIds, segmenter, signal: stop.signal, onProgress: ({ phase }) => { if (phase === 'infer') stop.abort(); } }).then(() => null, (e) => e.code);
  const none = await segmentCornerstone(cornerstone, { volumeId: 'other', segmenter }).then(() => null, (e) => e.message);
  const missing = await segmentCornerstone({}, { volumeId: 'scan', segmenter }).then(() => null, (e) => e.message);
  const left = [images() - before, tools.segmentation.state.getSegmentations().length];
  globalThis.shown = { labels, segmenter, viewport, tools, core };
  viewport.render();
  return {
    phases: [...phases], told, differ, worst: Math.max(...places), places: places.length, segments: Object.values(segments).map((s) => s.label), label, colors, one, every,
    seg: base64(seg), read, badKind, stopped, none, missing, left, known: Array.from(known.labels), labels: Array.from(result.labels), affine: result.affine, uids: volume.imageIds.map((id) => core.metaData.get('sopCommonModule', id).sopInstanceUID),
  };
};

/** Calls a function of the page with the series open. */
const inSeries = (page, body) => {
  const argument = JSON.stringify({ names: Object.keys(series), origin: server.url, SCAN });
  return page.evaluate(`(${SERIES})(${argument}).then((open) => (${body})(${argument}, open))`);
};

test('a DICOM series in Cornerstone3D, its labels as a segmentation, and DICOM SEG', async () => {
  const { page, problems, context } = await open(browser, `${server.url}/isolated`, { viewport: { width: 520, height: 520 } });
  const got = await inSeries(page, PAGE);
  // The series has the sample's voxels with rows to the back and columns to the left.
  const other = got.labels.filter((v, i) => {
    const [x, y, z] = [Math.floor(i / (ny * nz)), Math.floor(i / nz) % ny, i % nz];
    return v !== got.known[((nx - 1 - x) * ny + ny - 1 - y) * nz + z];
  });
  assert.equal(other.length, 0);
  assert.equal(got.differ, 0, 'Cornerstone holds the labels');
  assert.ok(got.places > 50 && got.worst < 1e-6, `${got.places} places, ${got.worst} mm apart`);
  assert.deepEqual(got.segments, LABELS.map(({ name }) => name));
  assert.deepEqual(got.colors.map((c) => c.slice(0, 3)), LABELS.map(({ color }) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16))));
  assert.deepEqual([got.one, got.every], [[true, false], [true, true]]);
  assert.ok(got.told >= 2, `told ${got.told} times`);
  assert.ok(got.phases.includes('infer'));

  // The object, by another reader than the one that made it.
  const bytes = Buffer.from(got.seg, 'base64');
  const { dict, meta } = dcmjs.data.DicomMessage.readFile(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const object = dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict);
  assert.equal(dcmjs.data.DicomMetaDictionary.naturalizeDataset(meta).MediaStorageSOPClassUID, '1.2.840.10008.5.1.4.1.1.66.7');
  assert.equal(object.SegmentationType, 'LABELMAP');
  assert.deepEqual([object.StudyInstanceUID, object.FrameOfReferenceUID, object.Modality], ['1.2.3', '1.2.3.9', 'SEG']);
  assert.deepEqual([object.Rows, object.Columns], [ny, nx]);
  const { version } = JSON.parse(readFileSync(`${root}www/package/package.json`, 'utf8'));
  assert.deepEqual([object.Manufacturer, object.SoftwareVersions, object.ContentCreatorName?.[0]?.Alphabetic ?? object.ContentCreatorName], ['unetr-wgpu', version, 'unetr-wgpu']);
  const segments = [object.SegmentSequence].flat();
  assert.deepEqual(segments.map((s) => [Number(s.SegmentNumber), s.SegmentLabel, s.SegmentAlgorithmType]), LABELS.map(({ value, name }) => [value, name, 'AUTOMATIC']));
  for (const segment of segments) {
    assert.match(segment.SegmentAlgorithmName, /./);
    assert.equal([segment.SegmentedPropertyTypeCodeSequence].flat()[0].CodingSchemeDesignator, 'SCT');
    assert.equal(segment.RecommendedDisplayCIELabValue.length, 3);
  }
  const frames = object.PerFrameFunctionalGroupsSequence;
  const pixels = new Uint8Array(object.PixelData[0] ?? object.PixelData);
  const value = (x, y, z) => got.labels[(x * ny + y) * nz + z];
  const sources = frames.map((frame) => [[frame.DerivationImageSequence].flat()[0].SourceImageSequence].flat()[0].ReferencedSOPInstanceUID);
  let wrong = 0;
  frames.forEach((frame, f) => {
    const z = Number([frame.PlanePositionSequence].flat()[0].ImagePositionPatient[2]);
    // The series' slices are 1 mm apart from 0, and the k-th file is the k-th slice.
    assert.equal(sources[f], `${UID}.${z + 1}`);
    const slice = got.uids.indexOf(sources[f]);
    for (let y = 0; y < ny; y += 1) for (let x = 0; x < nx; x += 1) wrong += Number(pixels[f * nx * ny + x + nx * y] !== value(x, y, slice));
  });
  assert.equal(wrong, 0, 'voxels of the DICOM SEG');
  assert.equal(got.read, 0, 'voxels of the DICOM SEG as Cornerstone reads it');
  assert.match(got.badKind, /options\.kind is "x"/);

  assert.equal(got.stopped, 'aborted');
  assert.match(got.none, /no volume "other"/);
  assert.match(got.missing, /give \{ core, tools \}/);
  assert.deepEqual(got.left, [0, 1], 'what stopped or failed leaves nothing');
  await page.waitForTimeout(500);
  await page.screenshot({ path: `${out}cornerstone3d.png` });
  const after = await page.evaluate(() => {
    const { labels, segmenter, tools, core } = globalThis.shown;
    labels.dispose();
    labels.dispose();
    segmenter.dispose();
    return [tools.segmentation.state.getSegmentations().length, core.cache.getVolume(labels.segmentationId) ?? null, Boolean(core.cache.getVolume('scan'))];
  });
  assert.deepEqual(after, [0, null, true]);
  // dcmjs complains of pixels of the source that a segmentation does not take.
  assert.deepEqual(problems.filter((text) => !text.startsWith('Error inserting pixels in PixelData')), []);
  await context.close();
});

/** In the page: a DICOM SEG as a viewer opens it, over its source series; each slice with its place in the patient. */
const OPENED = async (_, { core, tools, adapters, volume, viewport }) => {
  const all = {};
  for (const kind of ['binary', 'labelmap']) {
    const file = await (await fetch(`/${kind}.dcm`)).arrayBuffer();
    const { labelMapImages, segMetadata } = await adapters.adaptersSEG.Cornerstone3D.Segmentation
      .createFromDICOMSegBuffer(volume.imageIds, file, { metadataProvider: core.metaData, tolerance: 1e-3 });
    const images = labelMapImages.flat();
    tools.segmentation.addSegmentations([{
      segmentationId: kind, representation: { type: tools.Enums.SegmentationRepresentations.Labelmap, data: { imageIds: images.map((image) => image.imageId) } },
    }]);
    await tools.segmentation.addLabelmapRepresentationToViewport('axial', [{ segmentationId: kind }]);
    viewport.render();
    // The plane of each slice is that of its source, and its pixels are what the viewer draws.
    all[kind] = {
      names: segMetadata.data.filter(Boolean).map((segment) => segment.SegmentLabel),
      shown: tools.segmentation.state.getViewportIdsWithSegmentation(kind),
      slices: images.map((image) => {
        const { imagePositionPatient, rowCosines, columnCosines, rowPixelSpacing, columnPixelSpacing } = core.metaData.get('imagePlaneModule', image.referencedImageId);
        return { at: Array.from(imagePositionPatient), across: Array.from(rowCosines), down: Array.from(columnCosines), spacing: [columnPixelSpacing, rowPixelSpacing], pixels: Array.from(image.voxelManager.getScalarData()) };
      }),
    };
  }
  return all;
};

test('a DICOM SEG of the native program, binary and labelmap, over its series', async () => {
  const want = labelsOf(native['labels.nii.gz']);
  assert.ok(want.data.reduce((n, v) => n + Number(v > 0), 0) > 10_000);
  // An affine along the patient's axes: voxel index of a place, RAS.
  const [mx, my, mz] = want.dims;
  const index = (ras) => want.affine.map((row, a) => Math.round((ras[a] - row[3]) / row[a]));
  assert.deepEqual(want.affine.map((row, a) => row.filter((v, i) => i < 3 && (i === a) !== (v !== 0)).length), [0, 0, 0]);
  const labelAt = ([x, y, z]) => {
    const [i, j, k] = index([-x, -y, z]);
    assert.ok(i >= 0 && j >= 0 && k >= 0 && i < mx && j < my && k < mz);
    return want.data[i + mx * (j + my * k)];
  };
  /** Voxels of a slice that are not the labels at their places. */
  const wrongIn = ({ at, across, down, spacing: [sx, sy], pixels }, columns, expected = labelAt) => pixels.reduce((n, v, p) => {
    const [c, r] = [p % columns, Math.floor(p / columns)];
    return n + Number(v !== expected(at.map((o, a) => o + across[a] * sx * c + down[a] * sy * r)));
  }, 0);

  const { page, problems, context } = await open(browser, `${server.url}/isolated`, { viewport: { width: 520, height: 520 } });
  const got = await inSeries(page, OPENED);
  await page.waitForTimeout(300);
  await page.screenshot({ path: `${out}cornerstone3d-seg.png` });
  for (const kind of ['binary', 'labelmap']) {
    const { names, shown, slices } = got[kind];
    assert.deepEqual([names, shown], [LABELS.map(({ name }) => name), ['axial']], kind);
    assert.equal(slices.length, nz);
    assert.equal(slices.reduce((n, { pixels }) => n + pixels.reduce((m, v) => m + Number(v > 0), 0), 0), want.data.reduce((n, v) => n + Number(v > 0), 0));
    assert.equal(slices.reduce((n, slice) => n + wrongIn(slice, nx), 0), 0, `${kind}: voxels that Cornerstone shows elsewhere`);
  }
  assert.deepEqual(problems.filter((text) => !text.startsWith('Error inserting pixels in PixelData')), []);
  await context.close();

  // The same bits by dcmjs alone.
  const file = native['binary.dcm'];
  const { dict } = dcmjs.data.DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
  const object = dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict);
  const bits = dcmjs.data.BitArray.unpack(object.PixelData[0] ?? object.PixelData);
  const [plane] = [object.SharedFunctionalGroupsSequence].flat();
  const orientation = [plane.PlaneOrientationSequence].flat()[0].ImageOrientationPatient.map(Number);
  const [row, column] = [plane.PixelMeasuresSequence].flat()[0].PixelSpacing.map(Number);
  const size = object.Rows * object.Columns;
  const counted = new Map();
  const frames = [object.PerFrameFunctionalGroupsSequence].flat();
  const wrong = frames.reduce((n, frame, f) => {
    const segment = Number([frame.SegmentIdentificationSequence].flat()[0].ReferencedSegmentNumber);
    const pixels = Array.from(bits.subarray(f * size, (f + 1) * size), (v) => Number(v !== 0));
    counted.set(segment, (counted.get(segment) ?? 0) + pixels.reduce((a, b) => a + b));
    const at = [frame.PlanePositionSequence].flat()[0].ImagePositionPatient.map(Number);
    return n + wrongIn({ at, across: orientation.slice(0, 3), down: orientation.slice(3), spacing: [column, row], pixels }, object.Columns, (place) => Number(labelAt(place) === segment));
  }, 0);
  assert.equal(wrong, 0, 'voxels as dcmjs reads them');
  // Frames without voxels are left out, and no other.
  for (const { value } of LABELS) assert.equal(counted.get(value), want.data.reduce((n, v) => n + Number(v === value), 0));
});
