import { NVImage, Niivue } from '@niivue/niivue';
import { createSegmenter } from 'unetr-wgpu';

const SCAN = 'samples/hippocampus.nii.gz';
const viewer = new Niivue({ backColor: [0, 0, 0, 1] });
await viewer.attachTo('view');
await viewer.loadVolumes([{ url: SCAN }]);

/** The package's label table as NiiVue's colour map. */
function colormap(table) {
  const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ['background'] };
  for (const { value, name, color } of table) {
    const channel = (at) => parseInt(color.slice(at, at + 2), 16);
    map.R.push(channel(1));
    map.G.push(channel(3));
    map.B.push(channel(5));
    map.A.push(255);
    map.I.push(value);
    map.labels.push(name);
  }
  return map;
}

document.getElementById('segment').addEventListener('click', async () => {
  const state = document.getElementById('state');
  try {
    const onProgress = ({ phase, fraction }) => { state.value = `${phase} ${Math.round(100 * fraction)} %`; };
    const segmenter = await createSegmenter({ model: 'models/hippocampus.safetensors', onProgress });
    const scan = new File([await (await fetch(SCAN)).blob()], 'scan.nii.gz');
    const result = await segmenter.segment(scan, { onProgress });
    segmenter.dispose();
    const labels = await NVImage.loadFromFile({ file: new File([result.toNifti()], 'labels.nii.gz'), name: 'labels.nii.gz', opacity: 0.6 });
    labels.setColormapLabel(colormap(result.labelTable));
    viewer.addVolume(labels);
    state.value = result.statistics.map((s) => `${s.name}: ${s.volume_ml.toFixed(2)} ml`).join(', ');
  } catch (error) {
    state.value = error.message;
  }
});
