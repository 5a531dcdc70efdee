import { Niivue } from '@niivue/niivue';
import { createSegmenter } from 'unetr-wgpu';
import { segmentNiivue } from 'unetr-wgpu/niivue';

const viewer = new Niivue({ backColor: [0, 0, 0, 1] });
await viewer.attachTo('view');
await viewer.loadVolumes([{ url: 'samples/hippocampus.nii.gz' }]);

const state = document.getElementById('state');
const cancel = document.getElementById('cancel');
let segmenter;
let labels;

document.getElementById('segment').addEventListener('click', async () => {
  const stop = new AbortController();
  cancel.onclick = () => stop.abort();
  cancel.disabled = false;
  const options = {
    signal: stop.signal,
    onProgress: ({ phase, fraction }) => { state.value = `${phase} ${Math.round(100 * fraction)} %`; },
  };
  try {
    // Kept: the next scan finds it ready.
    segmenter ??= await createSegmenter({ model: 'models/hippocampus.safetensors', ...options });
    await labels?.dispose();
    labels = await segmentNiivue(viewer, { segmenter, ...options });
    state.value = labels.result.statistics.map((s) => `${s.name}: ${s.volume_ml.toFixed(2)} ml`).join(', ');
  } catch (error) {
    state.value = error.message;
  }
  cancel.disabled = true;
});
