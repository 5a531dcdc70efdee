// The page: one scan, one model, one result at a time.
import { checkSupport, createSegmenter } from 'unetr-wgpu';
import { Diagnostics } from './diagnostics.js';

const $ = (id) => document.getElementById(id);
const SAMPLE = 'samples/hippocampus_250.nii.gz';
const MODEL = 'models/hippocampus.safetensors';

const state = { support: null, segmenter: null, viewer: null, scan: null, plan: null, result: null, running: null, alone: null };
let diagnostics;

function say(text) {
  $('message').textContent = text ?? '';
  $('message').hidden = !text;
}

/** An error as a sentence. */
function complain({ code, message }) {
  if (code === 'aborted') return;
  say(message.endsWith('.') ? message : `${message}.`);
}

function words(name) {
  return name.replaceAll('_', ' ');
}

function duration(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

const times = (values, digits) => values.map((v) => Number(v.toFixed(digits))).join(' × ');
const mib = (bytes) => `${Math.ceil(bytes / 2 ** 20)} MiB`;

function refresh() {
  $('segment').disabled = !state.plan || state.running !== null;
  $('segment').hidden = state.running !== null;
  $('running').hidden = state.running === null;
  for (const id of ['open-scan', 'open-model', 'sample', 'overlap']) $(id).disabled = state.running !== null;
}

function showAdapter({ webgpu, software, adapter, reason }) {
  const badge = $('adapter');
  badge.textContent = !webgpu ? 'No WebGPU' : software ? `${adapter.name}: software, slow` : adapter.name;
  badge.classList.toggle('warn', webgpu && software);
  badge.classList.toggle('bad', !webgpu);
  if (webgpu) return;
  $('model').hidden = true;
  say(`${reason} Scans can be looked at, but not segmented.`);
}

/** Runs one task that can be cancelled, with the bar showing it. */
async function task(work) {
  const controller = new AbortController();
  state.running = controller;
  say(null);
  show({ phase: 'start', done: 0, total: 0 });
  refresh();
  try {
    return await work({ signal: controller.signal, onProgress: show });
  } catch (error) {
    complain(error);
    return null;
  } finally {
    state.running = null;
    refresh();
  }
}

function show({ phase, done, total, fraction, etaMs }) {
  const left = etaMs > 0 ? `, about ${duration(etaMs)} left` : '';
  $('progress-text').textContent = {
    start: 'Starting…',
    download: `Loading the model, ${mib(done)}${total ? ` of ${mib(total)}` : ''}${left}`,
    compile: 'Preparing the model…',
    preprocess: 'Reading the scan…',
    infer: done === 0 ? `${total} window${total === 1 ? '' : 's'}, first compiling…` : `Window ${done} of ${total}${left}`,
    postprocess: 'Finishing…',
  }[phase];
  if (total > 0 && (done > 0 || phase === 'download')) $('bar').value = fraction;
  else $('bar').removeAttribute('value');
}

async function openModel(model, name) {
  if (!state.support.webgpu) return;
  const made = await task((options) => createSegmenter({ model, ...options }));
  if (!made) return;
  state.segmenter?.dispose();
  state.segmenter = made;
  const { model: m } = made;
  $('model-name').textContent = words(m.name || name);
  $('model-facts').textContent = `${m.input.channels.join(', ')} → ${m.output.labels.map((l) => words(l.name)).join(', ')}. `
    + `${(m.parameters / 1e6).toFixed(1)} million parameters, licence ${m.licence}.`;
  clearResult();
  state.plan = null;
  $('plan').textContent = '';
  refresh();
  await plan();
}

async function openScan(files) {
  if (files.length === 0) return;
  // The reader that segments decides what a scan is, before anything is drawn.
  if (state.segmenter && !(await plan(files))) return;
  state.scan = files;
  clearResult();
  $('scan-name').textContent = files.map((f) => f.name).join(', ');
  $('sample').hidden = files.sample === true;
  try {
    await state.viewer?.showScan(files);
  } catch (error) {
    say(`The viewer cannot show this scan: ${error.message}`);
  }
}

/** Plans a run over these files; if they cannot be segmented, says why and leaves everything as it was. */
async function plan(files = state.scan) {
  if (!state.segmenter || !files) return false;
  say(null);
  let made;
  try {
    made = await state.segmenter.plan(files, overlap());
  } catch (error) {
    complain(error);
    return false;
  }
  state.plan = made;
  const { scanDims, scanSpacing, windows, memory, roi, warnings } = made;
  $('scan-facts').textContent = `${times(scanDims, 0)} voxels of ${times(scanSpacing, 2)} mm`;
  $('plan').textContent = `${windows} window${windows === 1 ? '' : 's'} of ${times(roi, 0)}, ${mib(memory.total)} on the GPU.`;
  $('warnings').replaceChildren(...warnings.map((text) => Object.assign(document.createElement('li'), { textContent: text })));
  $('warnings').hidden = warnings.length === 0;
  refresh();
  return true;
}

/** What lies under the crosshair. */
function locate(mm, [value, label]) {
  const name = state.result?.labelTable.find((l) => l.value === label)?.name;
  const number = Number.isInteger(value) ? value : value.toPrecision(4);
  $('location').textContent = `${mm.map((v) => v.toFixed(1)).join(', ')} mm   ${number}${name ? `   ${words(name)}` : ''}`;
}

function overlap() {
  const value = $('overlap').value;
  return value === '' ? {} : { overlap: Number(value) };
}

async function segment() {
  if ($('segment').disabled) return;
  const result = await task((options) => state.segmenter.segment(state.scan, { ...overlap(), ...options }));
  if (!result) return;
  state.result = result;
  state.alone = null;
  showLegend(result);
  const { timings, plan: { windows }, device } = result;
  $('timing').textContent = `${windows} window${windows === 1 ? '' : 's'} in ${(timings.totalMs / 1000).toFixed(1)} s on ${device.name}${device.software ? ', a software adapter' : ''}.`;
  diagnostics.note('last run', $('timing').textContent);
  $('result').hidden = false;
  await state.viewer?.showLabels(result.toNifti(), result.labelTable);
  const largest = result.statistics.reduce((a, b) => (b.voxels > a.voxels ? b : a));
  if (largest.centroid_mm) state.viewer?.goTo(largest.centroid_mm);
  $('result').scrollIntoView({ block: 'nearest' });
}

function clearResult() {
  state.result = null;
  $('result').hidden = true;
  state.viewer?.clearLabels();
}

function showLegend({ labelTable, statistics }) {
  const rows = labelTable.map(({ value, name, color }) => {
    const numbers = statistics.find((s) => s.value === value);
    const row = document.createElement('tr');
    const swatch = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    swatch.setAttribute('class', 'swatch');
    const square = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    for (const [key, v] of Object.entries({ width: 14, height: 14, fill: color })) square.setAttribute(key, v);
    swatch.append(square);
    const label = row.insertCell();
    label.append(swatch, words(name));
    if (numbers?.touches_border) {
      label.append(Object.assign(document.createElement('span'), { className: 'facts', textContent: ' at the edge', title: 'Touches the border of the scan: it may go on outside.' }));
    }
    const volume = row.insertCell();
    volume.className = 'number';
    volume.textContent = (numbers?.volume_ml ?? 0).toFixed(2);
    const only = document.createElement('button');
    Object.assign(only, { type: 'button', textContent: 'only', ariaPressed: 'false', ariaLabel: `Show only ${words(name)}` });
    only.disabled = !numbers?.voxels;
    only.addEventListener('click', () => isolate(state.alone === value ? null : value));
    row.insertCell().append(only);
    row.dataset.value = value;
    return row;
  });
  $('legend').replaceChildren(...rows);
}

function isolate(value) {
  state.alone = value;
  state.viewer?.isolate(value);
  for (const row of $('legend').rows) {
    const own = Number(row.dataset.value) === value;
    row.classList.toggle('dimmed', value !== null && !own);
    row.querySelector('button').ariaPressed = String(own);
  }
  const place = state.result.statistics.find((s) => s.value === value)?.centroid_mm;
  if (place) state.viewer?.goTo(place);
}

function save(content, ending, type) {
  const stem = state.scan[0].name.replace(/\.(nii|hdr|img)?(\.gz)?$/i, '');
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `${stem}_${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function dropped(files) {
  if (state.running) return;
  const model = files.find((f) => /\.safetensors$/i.test(f.name));
  if (model) openModel(model, model.name);
  else openScan(files);
}

async function sample() {
  const response = await fetch(SAMPLE);
  const file = new File([await response.blob()], SAMPLE.split('/').pop());
  await openScan(Object.assign([file], { sample: true }));
}

function wire() {
  const choose = (button, input) => $(button).addEventListener('click', () => $(input).click());
  choose('open-scan', 'scan-input');
  choose('open-model', 'model-input');
  for (const id of ['scan-input', 'model-input']) {
    $(id).addEventListener('change', () => {
      dropped([...$(id).files]);
      $(id).value = '';
    });
  }
  $('sample').addEventListener('click', sample);
  $('overlap').addEventListener('change', plan);
  $('segment').addEventListener('click', segment);
  $('cancel').addEventListener('click', () => state.running?.abort());
  $('opacity').addEventListener('input', () => { if (state.viewer) state.viewer.opacity = Number($('opacity').value); });
  $('save-labels').addEventListener('click', () => save(state.result.toNifti(), 'labels.nii.gz', 'application/gzip'));
  $('save-csv').addEventListener('click', () => save(state.result.statisticsCsv(), 'statistics.csv', 'text/csv'));
  $('save-json').addEventListener('click', () => save(state.result.statisticsJson(), 'statistics.json', 'application/json'));
  $('save-image').addEventListener('click', async () => save(await state.viewer.picture(), 'view.png', 'image/png'));
  $('adapter').addEventListener('click', () => diagnostics?.open());

  addEventListener('dragover', (event) => {
    event.preventDefault();
    $('drop-hint').hidden = false;
  });
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop-hint').hidden = true; });
  addEventListener('drop', (event) => {
    event.preventDefault();
    $('drop-hint').hidden = true;
    dropped([...event.dataTransfer.files]);
  });
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select, input:not([type=range])') || $('diagnostics').open) return;
    const keys = {
      o: () => $('open-scan').click(), s: segment, escape: () => state.running?.abort(), l: () => state.viewer?.toggle(), d: () => diagnostics?.open(),
    };
    keys[event.key.toLowerCase()]?.();
  });
}

async function start() {
  wire();
  const canvas = $('view');
  const viewer = import('./viewer.js').then(({ Viewer }) => Viewer.create(canvas, locate));
  state.support = await checkSupport();
  showAdapter(state.support);
  diagnostics = new Diagnostics(state.support);
  const model = openModel(MODEL, 'hippocampus');
  try {
    state.viewer = await viewer;
  } catch (error) {
    $('location').textContent = `The viewer could not start (${error.message}); segmenting and saving still work.`;
  }
  await model;
  await sample();
}

await start();
