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
  /** Counts the scans that were asked for: only the last one is shown; and the way to it, as long as it is not there. */
  asked: 0,
  opening: null,
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

/** Whether something is running, which is then told. */
function running() {
  if (state.running) say('Something is running: cancel it or wait for its end, then open the files again.');
  return state.running !== null;
}

function refresh() {
  const busy = state.running !== null;
  const opening = state.opening !== null;
  $('segment').disabled = !state.plan || busy || opening;
  $('segment').hidden = busy;
  $('running').hidden = !busy;
  for (const id of ['open-scan', 'open-folder', 'open-model', 'sample', 'models', 'compare', 'expert', 'save-model']) $(id).disabled = busy;
  $('overlap').disabled = busy || opening;
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
      const { model, fields, fileSha256 } = entry;
      // The program's own files lie on this machine, and may change at their address.
      const cache = model instanceof URL && model.pathname.startsWith('/local/') ? 'none' : 'auto';
      return await createSegmenter({ model, package: fields, sha256: fileSha256, cache, ...options });
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
  // The scan on its way is read and planned by the segmenter that would be taken away.
  while (state.opening) await state.opening;
  if (running()) return false;
  const made = await task((options) => create(entry, options));
  if (!made) return false;
  state.timing?.abort();
  state.segmenter?.dispose();
  state.segmenter = made;
  const { model: m } = made;
  models.opened(entry, m);
  $('model-facts').textContent = `${m.input.channels.join(', ')} → ${m.output.labels.map((l) => words(l.name)).join(', ')}. `
    + `${(m.parameters / 1e6).toFixed(1)} million parameters, licence ${m.licence || 'not stated'}.`;
  $('model-settings').replaceChildren(...m.facts.flatMap(([what, value]) => [make('dt', { textContent: what }), make('dd', { textContent: value })]));
  $('model-warnings').replaceChildren(...m.warnings.map((text) => make('li', { textContent: text })));
  $('assumed').hidden = m.warnings.length === 0;
  clearResult();
  state.plan = null;
  $('plan').textContent = '';
  refresh();
  // Another organ's sample would be of no use to this model.
  const other = state.sample && entry.sample && entry.sample.scan !== state.sample.scan;
  if (!other || !(await sample())) await replan();
  return true;
}

async function saveModel() {
  const { model, fields, name } = models.current;
  const made = await task((options) => importCheckpoint(model, { package: fields, ...options }));
  if (made) save(made.model, `${name.replace(/\.[^.]*$/, '')}.safetensors`, 'application/octet-stream');
}

/** `find()` gives `{files, sample, expert}`; `sample` and `expert`: that it is one, and the labels that are known for it. */
async function openScan(find) {
  state.asked += 1;
  const turn = state.asked;
  // Whoever has asked for another scan meanwhile wants that one.
  const last = () => turn === state.asked;
  const work = (async () => {
    const found = await find();
    const ready = last() && found.files.length > 0 && await readable(found.files);
    if (!ready || !last()) return false;
    await showScan(found, ready);
    return true;
  })();
  state.opening = work.then(() => {}, () => {});
  refresh();
  try {
    return await work;
  } catch (error) {
    if (last()) complain(error);
    return false;
  } finally {
    if (last()) {
      state.opening = null;
      // Planning came first; the timing of the scan that is open now, be it the new one or the old, comes after.
      if (state.plan?.windowMs === null && state.timing?.signal.aborted !== false) time();
    }
    refresh();
  }
}

/** `{plan, shown}`: the run over these files, and what the viewer is to show of them. */
async function readable(files) {
  // The reader that segments decides what a scan is, before anything is drawn.
  let made = null;
  if (state.segmenter) {
    say(null);
    made = await planned(files);
  }
  if (!isSeries(files)) return { plan: made, shown: files };
  // The viewer gets what the segmenter reads, on the same grid.
  const { nifti } = await scanToNifti(files);
  return { plan: made, shown: [new File([nifti], 'series.nii')] };
}

async function showScan({ files, sample = null, expert = null }, { plan, shown }) {
  state.scan = files;
  clearResult();
  $('scan-name').textContent = files.length > 4 ? `${files[0].name} and ${files.length - 1} more` : files.map((f) => f.name).join(', ');
  state.expert = expert;
  state.sample = sample;
  $('sample').hidden = sample !== null;
  $('expert').hidden = expert === null;
  $('expert').textContent = sample?.by ?? '';
  if (plan) showPlan(plan);
  try {
    await state.viewer?.showScan(shown);
  } catch (error) {
    if (state.scan === files) say(`The viewer cannot show this scan: ${error.message}`);
  }
}

/** A run over these files. */
function planned(files) {
  state.timing?.abort();
  return state.segmenter.plan(files, overlap());
}

/** Plans the scan that is open again: the model or the overlap has changed. */
async function replan() {
  const { scan } = state;
  if (!state.segmenter || !scan) return;
  try {
    const made = await planned(scan);
    if (scan !== state.scan) return;
    showPlan(made);
    if (made.windowMs === null) time();
  } catch (error) {
    complain(error);
  }
  refresh();
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
async function time() {
  const { scan } = state;
  state.timing = new AbortController();
  const { signal } = state.timing;
  try {
    const made = await state.segmenter.plan(scan, { ...overlap(), measure: true, signal });
    if (!signal.aborted && scan === state.scan) showPlan(made);
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
    if (state.plan?.windowMs === null) time();
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
  if (state.result !== result) return;
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
  if (running()) return;
  const { model, fields, scan } = sort(files);
  // Without WebGPU there is nothing to load a model on; scans are still looked at.
  if (model && state.support.webgpu) {
    const entry = { model, name: model.name, bytes: model.size };
    try {
      if (fields) entry.fields = JSON.parse(await fields.text());
    } catch (error) {
      say(`${fields.name}: ${error.message}`);
      return;
    }
    // A scan is not to be segmented with another model than the one that came with it.
    if (!(await openModel(entry))) return;
  }
  if (scan.length > 0) await openScan(() => ({ files: scan }));
}

function sample() {
  const wanted = models?.current?.sample ?? SAMPLE;
  return openScan(async () => {
    const [file, expert] = await Promise.all([wanted.scan, wanted.reference].map(fetchFile));
    return { files: [file], sample: wanted, expert };
  });
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
  $('overlap').addEventListener('change', () => {
    say(null);
    replan();
  });
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
  if (models && !models.current) models.show();
  // Several are channels, or the files of a series.
  const scans = address.getAll('scan');
  const wanted = async () => ({ files: await Promise.all(scans.map(fetchFile)) });
  if (scans.length > 0 && !(await openScan(wanted)) && $('message').textContent) refused.push($('message').textContent);
  if (!state.scan && !state.opening) await sample();
  if (refused.length > 0) say(`${refused.join(' ')} What this site has is shown instead.`);
  keepOffline();
}

await start();
