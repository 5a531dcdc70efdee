// The page: one scan, one model, one result at a time.
import { checkSupport, createSegmenter, importCheckpoint, scanToNifti } from 'unetr-wgpu';
import { Diagnostics } from './diagnostics.js';
import { droppedFiles, fetchFile, isSeries, sameOrigin, sort, visible } from './files.js';
import { $, duration, make, mib, plural, save, times, words } from './format.js';
import { askFields, merge } from './import.js';
import { Legend, showComparison } from './legend.js';
import { Models } from './models.js';
import { keepOffline } from './offline.js';

/** What is shown where no model brings its own. */
const SAMPLE = { scan: 'samples/hippocampus_250.nii.gz', reference: 'samples/hippocampus_250_reference.nii.gz', by: "Experts' labels" };

const state = {
  support: null, segmenter: null, viewer: null, scan: null, plan: null, result: null, running: null, timing: null,
  /** The sample that the scan is, with its reference labels as a file; null for a scan of the user's. */
  sample: null, expert: null,
  /** Counts the scans that were asked for: only the last one is shown. */
  asked: 0,
  opening: false,
};
const legend = new Legend(isolate);
let diagnostics;
let models;

function say(text) {
  $('message').textContent = text ?? '';
  $('message').hidden = !text;
}

/** An error as a sentence. */
function complain({ code, message }) {
  if (code === 'aborted') return;
  say(/[.!?]$/.test(message) ? message : `${message}.`);
}

function refresh() {
  const busy = state.running !== null;
  $('segment').disabled = !state.plan || busy || state.opening;
  $('segment').hidden = busy;
  $('running').hidden = !busy;
  for (const id of ['open-scan', 'open-folder', 'open-model', 'sample', 'overlap', 'models', 'compare', 'expert', 'save-model']) $(id).disabled = busy;
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

/** Runs one task that can be cancelled, with the bar showing it; null if it failed. */
async function task(work) {
  const controller = new AbortController();
  const focus = document.activeElement;
  state.running = controller;
  say(null);
  show({ phase: 'start', done: 0, total: 0 });
  refresh();
  // Where what had the focus is hidden or disabled now, the keyboard is to stay at this place.
  const lost = focus.disabled || !focus.checkVisibility();
  if (lost) $('cancel').focus({ preventScroll: true });
  try {
    return await work({ signal: controller.signal, onProgress: show });
  } catch (error) {
    complain(error);
    return null;
  } finally {
    const stayed = lost && document.activeElement === $('cancel');
    state.running = null;
    refresh();
    if (stayed) (focus.checkVisibility() ? focus : $('segment')).focus({ preventScroll: true });
  }
}

function show({ phase, done, total, fraction, etaMs }) {
  const left = etaMs > 0 ? `, about ${duration(etaMs)} left` : '';
  $('progress-text').textContent = {
    start: 'Starting…',
    download: `Loading the model, ${mib(done)}${total ? ` of ${mib(total)}` : ''}${left}`,
    compile: 'Preparing the model…',
    preprocess: 'Reading the scan…',
    infer: done === 0 ? `${plural(total, 'window')}…` : `Window ${done} of ${total}${left}`,
    postprocess: 'Finishing…',
  }[phase];
  if (total > 0 && (done > 0 || phase === 'download')) $('bar').value = fraction;
  else $('bar').removeAttribute('value');
}

/** A segmenter of this model; asks for what a checkpoint does not tell. */
async function create(entry, options) {
  for (;;) {
    try {
      return await createSegmenter({ model: entry.model, package: entry.fields, sha256: entry.fileSha256, ...options });
    } catch (error) {
      if (!error.fields) throw error;
      const values = await askFields(error.fields);
      if (!values) throw Object.assign(error, { code: 'aborted' });
      entry.fields = merge(entry.fields, values);
    }
  }
}

/** Opens an entry of the pull-down; if that fails, everything stays as it was. */
async function openModel(entry) {
  if (!state.support.webgpu) return false;
  const made = await task((options) => create(entry, options));
  if (!made) return false;
  state.timing?.abort();
  state.segmenter?.dispose();
  state.segmenter = made;
  const { model: m } = made;
  models.opened(entry, m);
  $('model-facts').textContent = `${m.input.channels.join(', ')} → ${m.output.labels.map((l) => words(l.name)).join(', ')}. `
    + `${(m.parameters / 1e6).toFixed(1)} million parameters, licence ${m.licence || 'not stated'}.`;
  $('model-warnings').replaceChildren(...m.warnings.map((text) => make('li', { textContent: text })));
  $('assumed').hidden = m.warnings.length === 0;
  clearResult();
  state.plan = null;
  $('plan').textContent = '';
  refresh();
  // Another organ's sample would be of no use to this model.
  const other = state.sample && !state.opening && entry.sample && entry.sample.scan !== state.sample.scan;
  if (!other || !(await sample())) await plan();
  return true;
}

async function saveModel() {
  const { model, fields, name } = models.current;
  const made = await task((options) => importCheckpoint(model, { package: fields, ...options }));
  if (made) save(made.model, `${name.replace(/\.[^.]*$/, '')}.safetensors`, 'application/octet-stream');
}

/** `sample` and `expert`: that it is one, and the labels that are known for it. */
async function openScan(files, known = {}) {
  if (files.length === 0) return;
  state.asked += 1;
  const turn = state.asked;
  state.opening = true;
  refresh();
  try {
    const shown = await readable(files);
    if (shown && turn === state.asked) await showScan(files, shown, known);
  } finally {
    if (turn === state.asked) state.opening = false;
    refresh();
  }
}

/** What the viewer is to show of these files; null, with the reason told, if they are no scan. */
async function readable(files) {
  // The reader that segments decides what a scan is, before anything is drawn.
  if (state.segmenter && !(await plan(files))) return null;
  if (!isSeries(files)) return files;
  try {
    // The viewer gets what the segmenter reads, on the same grid.
    return [new File([(await scanToNifti(files)).nifti], 'series.nii')];
  } catch (error) {
    complain(error);
    return null;
  }
}

async function showScan(files, shown, { sample = null, expert = null }) {
  state.scan = files;
  clearResult();
  $('scan-name').textContent = files.length > 4 ? `${files[0].name} and ${files.length - 1} more` : files.map((f) => f.name).join(', ');
  state.expert = expert;
  state.sample = sample;
  $('sample').hidden = sample !== null;
  $('expert').hidden = expert === null;
  $('expert').textContent = sample?.by ?? '';
  try {
    await state.viewer?.showScan(shown);
  } catch (error) {
    say(`The viewer cannot show this scan: ${error.message}`);
  }
}

/** Plans a run over these files; if they cannot be segmented, says why and leaves everything as it was. */
async function plan(files = state.scan) {
  if (!state.segmenter || !files) return false;
  say(null);
  state.timing?.abort();
  let made;
  try {
    made = await state.segmenter.plan(files, { ...overlap(), measure: false });
  } catch (error) {
    complain(error);
    return false;
  }
  showPlan(made);
  refresh();
  if (made.windowMs === null) time(files);
  return true;
}

function showPlan(made) {
  state.plan = made;
  const { scanDims, scanSpacing, windows, memory, roi, warnings, windowMs, estimatedMs } = made;
  $('scan-facts').textContent = `${times(scanDims, 0)} voxels of ${times(scanSpacing, 2)} mm`;
  const expected = windowMs === null ? 'timing one window…' : `about ${duration(estimatedMs)}.`;
  $('plan').textContent = `${plural(windows, 'window')} of ${times(roi, 0)}, ${mib(memory.total)} on the GPU, ${expected}`;
  $('warnings').replaceChildren(...warnings.map((text) => make('li', { textContent: text })));
  $('warnings').hidden = warnings.length === 0;
  if (windowMs === null) return;
  models.timed(windowMs);
  diagnostics.note('window', `${windowMs.toFixed(0)} ms of ${times(roi, 0)}`);
}

/** Measures a window while nobody waits; a run that is started meanwhile comes first. */
async function time(files) {
  state.timing = new AbortController();
  const { signal } = state.timing;
  try {
    const made = await state.segmenter.plan(files, { ...overlap(), signal });
    if (!signal.aborted) showPlan(made);
  } catch (error) {
    complain(error);
  }
}

/** What lies under the crosshair. */
function locate(mm, [value, label]) {
  const name = state.result?.labelTable.find((l) => l.value === label)?.name;
  const number = value === undefined || Number.isInteger(value) ? value ?? '' : value.toPrecision(4);
  $('location').textContent = `${mm.map((v) => v.toFixed(1)).join(', ')} mm   ${number}${name ? `   ${words(name)}` : ''}`;
}

function overlap() {
  const value = $('overlap').value;
  return value === '' ? {} : { overlap: Number(value) };
}

async function segment() {
  if ($('segment').disabled) return;
  state.timing?.abort();
  clearResult();
  const { viewer, segmenter, scan } = state;
  const onLabels = (part) => viewer?.addLabels(part);
  const result = await task(async (options) => {
    // Parts of the result are drawn as soon as no later window changes them.
    if (state.plan.windows > 1) await viewer?.beginLabels(state.plan, segmenter.labelTable);
    return segmenter.segment(scan, { ...overlap(), ...options, onLabels });
  });
  if (!result) {
    viewer?.clearLabels();
    if (state.plan?.windowMs === null) time(scan);
    return;
  }
  state.result = result;
  showPlan(result.plan);
  legend.show(result);
  const { timings, plan: { windows }, device, wasmBytes } = result;
  $('timing').textContent = `${plural(windows, 'window')} in ${(timings.totalMs / 1000).toFixed(1)} s on ${device.name}${device.software ? ', a software adapter' : ''}.`;
  diagnostics.note('last run', $('timing').textContent);
  diagnostics.note('parts', Object.entries(timings).map(([name, ms]) => `${name.replace(/Ms$/, '')} ${ms.toFixed(0)} ms`).join(', '));
  diagnostics.note('memory', `${mib(result.plan.memory.total)} on the GPU, ${mib(wasmBytes)} of WebAssembly`);
  for (const text of result.warnings.slice(state.plan.warnings.length)) $('warnings').append(make('li', { textContent: text }));
  $('warnings').hidden = result.warnings.length === 0;
  $('result').hidden = false;
  // Screen readers say only what changes in a part that was there before.
  $('spoken').textContent = `Result: ${$('timing').textContent}`;
  await viewer?.showLabels(result.toNifti(), result.labelTable);
  const largest = result.statistics.reduce((a, b) => (b.voxels > a.voxels ? b : a));
  if (largest.centroid_mm) viewer?.goTo(largest.centroid_mm);
  $('result').scrollIntoView({ block: 'nearest' });
}

function clearResult() {
  state.result = null;
  $('result').hidden = true;
  $('comparison').hidden = true;
  $('spoken').textContent = '';
  state.viewer?.clearLabels();
}

function isolate(value) {
  state.viewer?.isolate(value);
  const place = state.result.statistics.find((s) => s.value === value)?.centroid_mm;
  if (place) state.viewer?.goTo(place);
}

async function compare(file) {
  const { result } = state;
  if (!file || !result) return;
  say(null);
  try {
    const made = await state.segmenter.compare(result, file);
    // Another result may have come meanwhile.
    if (state.result !== result) return;
    showComparison(made, file.name);
    $('comparison').scrollIntoView({ block: 'nearest' });
  } catch (error) {
    complain(error);
  }
}

function saveResult(content, ending, type) {
  const [{ name, webkitRelativePath }] = state.scan;
  // The files of a series have numbers for names; their folder has one that tells.
  const folder = isSeries(state.scan) && webkitRelativePath?.split('/').at(-2);
  const stem = folder || name.replace(/\.(nii|hdr|img|dcm)?(\.gz)?$/i, '');
  save(content, `${stem}_${ending}`, type);
}

async function opened(files) {
  if (state.running) {
    say('Something is running: cancel it or wait for its end, then open the files again.');
    return;
  }
  const { model, fields, scan } = sort(files);
  if (model) {
    const entry = { model, name: model.name, bytes: model.size };
    try {
      if (fields) entry.fields = JSON.parse(await fields.text());
    } catch (error) {
      say(`${fields.name}: ${error.message}`);
      return;
    }
    await openModel(entry);
  }
  if (scan.length > 0) await openScan(scan);
}

async function sample() {
  const before = state.asked;
  const wanted = models?.current?.sample ?? SAMPLE;
  try {
    const [file, expert] = await Promise.all([wanted.scan, wanted.reference].map(fetchFile));
    // Who has opened a scan or another model meanwhile wants that one.
    if (state.asked !== before || wanted !== (models?.current?.sample ?? SAMPLE)) return false;
    await openScan([file], { sample: wanted, expert });
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

function layout(name) {
  state.viewer?.layout(name);
  for (const button of $('layout').children) button.ariaPressed = String(button.dataset.layout === name);
}

function wire() {
  const choose = (button, input, chosen) => {
    $(button).addEventListener('click', () => $(input).click());
    $(input).addEventListener('change', () => {
      chosen([...$(input).files]);
      $(input).value = '';
    });
  };
  choose('open-scan', 'scan-input', opened);
  choose('open-folder', 'folder-input', (files) => opened(files.filter(visible)));
  choose('open-model', 'model-input', opened);
  choose('compare', 'reference-input', ([file]) => compare(file));
  $('expert').addEventListener('click', () => compare(state.expert));
  $('sample').addEventListener('click', sample);
  $('save-model').addEventListener('click', saveModel);
  $('overlap').addEventListener('change', () => plan());
  $('segment').addEventListener('click', segment);
  $('cancel').addEventListener('click', () => state.running?.abort());
  // The key that started the run may still be held down when Cancel takes its place.
  $('cancel').addEventListener('keydown', (event) => { if (event.repeat) event.preventDefault(); });
  $('opacity').addEventListener('input', () => { if (state.viewer) state.viewer.opacity = Number($('opacity').value); });
  $('save-labels').addEventListener('click', () => saveResult(state.result.toNifti(), 'labels.nii.gz', 'application/gzip'));
  $('save-csv').addEventListener('click', () => saveResult(state.result.statisticsCsv(), 'statistics.csv', 'text/csv'));
  $('save-json').addEventListener('click', () => saveResult(state.result.statisticsJson(), 'statistics.json', 'application/json'));
  $('save-image').addEventListener('click', async () => saveResult(await state.viewer.picture(), 'view.png', 'image/png'));
  $('adapter').addEventListener('click', () => diagnostics?.open());
  for (const button of $('layout').children) button.addEventListener('click', () => layout(button.dataset.layout));

  addEventListener('dragover', (event) => {
    event.preventDefault();
    $('drop-hint').hidden = false;
  });
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop-hint').hidden = true; });
  addEventListener('drop', async (event) => {
    event.preventDefault();
    $('drop-hint').hidden = true;
    opened(await droppedFiles(event.dataTransfer));
  });
  addEventListener('keydown', (event) => {
    const typing = event.target.matches('select, input:not([type=range])') || document.querySelector('dialog[open]');
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const keys = {
      o: () => $('open-scan').click(), s: segment, escape: () => state.running?.abort(), l: () => state.viewer?.toggle(),
      r: () => { if (state.result) $('compare').click(); }, d: () => diagnostics?.open(),
    };
    keys[event.key.toLowerCase()]?.();
  });
}

async function start() {
  addEventListener('unhandledrejection', ({ reason }) => complain(reason));
  wire();
  const address = new URLSearchParams(location.search);
  const canvas = $('view');
  const viewer = import('./viewer.js').then(({ Viewer }) => Viewer.create(canvas, locate));
  state.support = await checkSupport();
  showAdapter(state.support);
  diagnostics = new Diagnostics(state.support);
  let model = Promise.resolve();
  let asked;
  // What the address asks for and does not get: to be read at the end, when something else is shown instead.
  const refused = [];
  if (state.support.webgpu) {
    models = await Models.create(state.support.adapter.name, openModel);
    try {
      asked = address.get('model') && sameOrigin(address.get('model'));
    } catch (error) {
      refused.push(error.message);
    }
    model = openModel(models.at(asked));
  }
  try {
    state.viewer = await viewer;
  } catch (error) {
    $('location').textContent = `The viewer could not start (${error.message}); segmenting and saving still work.`;
  }
  if (!(await model) && asked) {
    refused.push($('message').textContent);
    await openModel(models.at());
  }
  try {
    // Several are channels, or the files of a series.
    await openScan(await Promise.all(address.getAll('scan').map(fetchFile)));
  } catch (error) {
    refused.push(error.message);
  }
  if (!state.scan && state.asked === 0) await sample();
  if (refused.length > 0) say(`${refused.join(' ')} What this site has is shown instead.`);
  keepOffline();
}

await start();
