import * as core from '@cornerstonejs/core';
import * as tools from '@cornerstonejs/tools';
import * as nifti from 'nifti-reader-js';
import { segmentCornerstone } from 'unetr-wgpu/cornerstone3d';

const { Enums, RenderingEngine, volumeLoader } = core;

const SCAN = 'samples/hippocampus.nii.gz';
const state = document.getElementById('state');

/** Stands for whatever loads volumes in your program: here a NIfTI file, with its axes turned to LPS. */
async function loadScan(volumeId) {
  const file = nifti.decompress(await (await fetch(SCAN)).arrayBuffer());
  const header = nifti.readHeader(file);
  const dimensions = header.dims.slice(1, 4);
  const image = nifti.readImage(header, file);
  const { TYPE_FLOAT32: f32, TYPE_UINT8: u8, TYPE_INT16: i16, TYPE_UINT16: u16 } = nifti.NIFTI1;
  const View = { [f32]: Float32Array, [u8]: Uint8Array, [i16]: Int16Array, [u16]: Uint16Array }[header.datatypeCode];
  const scalarData = Float32Array.from(new View(image));
  const lps = header.affine.slice(0, 3).map((row, r) => row.map((v) => (r < 2 ? -v : v)));
  const spacing = [0, 1, 2].map((a) => Math.hypot(lps[0][a], lps[1][a], lps[2][a]));
  const direction = [0, 1, 2].flatMap((a) => [0, 1, 2].map((r) => lps[r][a] / spacing[a]));
  const metadata = {
    BitsAllocated: 32, BitsStored: 32, SamplesPerPixel: 1, HighBit: 31, PhotometricInterpretation: 'MONOCHROME2', PixelRepresentation: 0,
    Modality: 'MR', FrameOfReferenceUID: volumeId, ImageOrientationPatient: direction.slice(0, 6), PixelSpacing: spacing.slice(0, 2),
    Columns: dimensions[0], Rows: dimensions[1], voiLut: [], VOILUTFunction: '',
  };
  return volumeLoader.createLocalVolume(volumeId, { metadata, dimensions, spacing, origin: lps.map((row) => row[3]), direction, scalarData });
}

await core.init();
await tools.init();
const engine = new RenderingEngine('engine');
engine.enableElement({
  viewportId: 'axial', type: Enums.ViewportType.ORTHOGRAPHIC, element: document.getElementById('view'),
  defaultOptions: { orientation: Enums.OrientationAxis.AXIAL },
});
const volume = await loadScan('scan');
const viewport = engine.getViewport('axial');
const values = volume.voxelManager.getCompleteScalarDataArray();
const upper = values.reduce((a, b) => Math.max(a, b), 0);
await viewport.setVolumes([{ volumeId: 'scan', callback: ({ volumeActor }) => volumeActor.getProperty().getRGBTransferFunction(0).setRange(0, upper) }]);
viewport.render();
document.getElementById('segment').disabled = false;

let labels;
document.getElementById('segment').addEventListener('click', async () => {
  try {
    labels?.dispose();
    const onProgress = ({ phase, fraction }) => { state.value = `${phase} ${Math.round(100 * fraction)} %`; };
    labels = await segmentCornerstone({ core, tools }, { volumeId: 'scan', model: 'models/hippocampus.safetensors', onProgress });
    viewport.render();
    state.value = labels.result.statistics.map((s) => `${s.name}: ${s.volume_ml.toFixed(2)} ml`).join(', ');
  } catch (error) {
    state.value = error.message;
  }
});
