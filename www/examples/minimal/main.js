// The package's folder lies beside this page; no bundler is needed.
import { checkSupport, createSegmenter } from './unetr-wgpu/index.js';

const $ = (id) => document.getElementById(id);
const say = (text) => { $('state').value = text; };
const onProgress = ({ phase, fraction }) => {
  $('bar').value = fraction;
  say(phase);
};

let segmenter;

$('scan').addEventListener('change', async () => {
  const [scan] = $('scan').files;
  const controller = new AbortController();
  $('stop').disabled = false;
  $('stop').onclick = () => controller.abort();
  try {
    const support = await checkSupport();
    if (!support.webgpu) throw new Error(support.reason);
    segmenter ??= await createSegmenter({ model: 'models/hippocampus.safetensors', signal: controller.signal, onProgress });
    const result = await segmenter.segment(scan, { signal: controller.signal, onProgress });
    $('volumes').replaceChildren();
    for (const { name, volume_ml: ml } of result.statistics) {
      const row = $('volumes').insertRow();
      row.insertCell().textContent = name;
      row.insertCell().textContent = `${ml.toFixed(2)} ml`;
    }
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([result.toNifti()]));
    link.download = 'labels.nii.gz';
    link.textContent = 'labels.nii.gz';
    $('volumes').insertRow().insertCell().append(link);
    say(`${(result.timings.totalMs / 1000).toFixed(1)} s on ${result.device.name}`);
  } catch (error) {
    say(error.message);
  } finally {
    $('stop').disabled = true;
  }
});
