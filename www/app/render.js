// The page, drawn from the state. Nothing here changes anything but the page.
import { $, duration, make, mib, plural, times, words } from './format.js';
import { renderLegend, renderOpacities } from './legend.js';
import { phaseOf } from './state.js';
import { PRESETS } from './viewer/window.js';

/** @typedef {import('./state.js').State} State */

/** Until something has taken this long it is not worth a word. */
const BUSY = new Set(['opening', 'compiling', 'running']);

/**
 * Draws what has changed.
 * @param {State} state
 * @param {State | null} before
 * @param {Parameters<typeof renderLegend>[1]} actions
 */
export function render(state, before, actions) {
  /** @param {(keyof State)[]} keys */
  const changed = (...keys) => before === null || keys.some((key) => state[key] !== before[key]);
  if (changed('support', 'job', 'result', 'plan', 'pending', 'scan')) renderPhase(state);
  if (changed('support')) renderAdapter(state);
  if (changed('scan', 'job', 'kept')) renderScan(state);
  if (changed('models', 'model', 'pending', 'job')) renderModels(state);
  if (changed('offline', 'model')) $('offline').hidden = !state.offline || !state.model;
  if (changed('model')) renderModel(state);
  if (changed('plan', 'pending', 'result', 'windowMs', 'scan')) renderPlan(state);
  if (changed('job')) renderJob(state);
  if (changed('message')) renderMessage(state);
  if (changed('result', 'comparison', 'alone')) renderLegend(state, actions);
  if (changed('opacities')) renderOpacities(state);
  if (changed('result', 'model', 'scan', 'comparison', 'reference')) renderResult(state);
  if (changed('place', 'result', 'viewerFault')) renderPlace(state);
  if (changed('dropping')) $('drop-hint').hidden = !state.dropping;
  if (changed('view', 'result', 'scan')) renderView(state);
}

/** @param {State} state */
function renderPhase(state) {
  const phase = phaseOf(state);
  const busy = BUSY.has(phase);
  document.body.dataset.phase = phase;
  $('stage').ariaBusy = String(busy);
  const run = state.job?.kind === 'run';
  $('segment').hidden = busy;
  $('segment').disabled = busy || !(state.plan || (state.pending && state.scan));
  $('segment').textContent = state.result?.run || state.result?.corrected ? 'Segment again' : 'Segment';
  $('running').hidden = !busy;
  for (const id of ['models', 'open-model', 'sample', 'compare', 'save-model', 'keep-model', 'forget-model', 'overlap', 'ask-uncertainty', 'save-menu-button', 'go-back']) $(id).disabled = busy;
  // Opening another scan is always possible: during a run it is asked for.
  $('veil').hidden = !busy || run;
}

/** @param {State} state */
function renderAdapter({ support }) {
  const badge = $('adapter');
  if (!support) return;
  const { webgpu, software, adapter } = support;
  const name = make('span', { className: 'adapter-name', textContent: webgpu ? adapter?.name : 'No WebGPU' });
  badge.replaceChildren(name, ...(webgpu && software ? [make('span', { className: 'between', textContent: ': ' }), make('span', { textContent: 'software, slow' })] : []));
  badge.title = `${badge.textContent}. Diagnostics (D)`;
  badge.classList.toggle('warn', webgpu && software);
  badge.classList.toggle('bad', !webgpu);
  $('model').hidden = !webgpu;
  $('run').hidden = !webgpu;
  $('no-webgpu').hidden = webgpu;
  $('no-webgpu-reason').textContent = support.reason ?? '';
}

/** @param {State} state */
function renderScan({ scan, job, kept }) {
  const opening = job?.kind === 'scan';
  $('scan-name').textContent = opening ? `Opening ${job.name}…` : scan?.name ?? 'No scan is open';
  $('scan-facts').textContent = scan?.dims && scan.spacing ? `${times(scan.dims, 0)} voxels of ${times(scan.spacing, 2)} mm` : '';
  $('scan-notes').replaceChildren(...(scan?.notes ?? []).map((text) => make('li', { textContent: text })));
  $('sample').hidden = Boolean(scan?.sample);
  $('stage-title').textContent = scan?.name ?? '';
  const channels = scan && scan.shown.length > 1 && !/\.img(\.gz)?$/i.test(scan.shown[1].name) ? scan.shown : [];
  $('channel-field').hidden = channels.length === 0;
  $('channel').replaceChildren(...channels.map((file, i) => make('option', { value: String(i), textContent: file.name, selected: i === scan?.channel })));
  // The run that is under way is the next one.
  $('kept').hidden = kept === null || job?.kind === 'run';
  $('kept-text').textContent = kept ? `The result for ${kept.scan.name} (${kept.model}) is kept until the next run.` : '';
}

/** @param {State} state */
function renderModels({ models, model, pending, job }) {
  const select = $('models');
  // A choice on the way to the one that is meant stays.
  if (document.activeElement === select && select.dataset.walking) return;
  const none = make('option', { value: '', textContent: job?.kind === 'model' ? `Loading ${words(job.name)}…` : 'Choose a model…', disabled: true, selected: true });
  const options = models.map((entry, i) => {
    const facts = [entry.bytes && mib(entry.bytes), entry.licence !== 'unknown' && entry.licence].filter(Boolean);
    return make('option', { value: String(i), textContent: [words(entry.name), ...facts].join(' · '), selected: entry === (model?.entry ?? pending) });
  });
  select.replaceChildren(...(model || pending ? [] : [none]), ...options);
}

/** @param {State} state */
function renderModel({ model }) {
  $('model-facts').textContent = model ? `Takes ${model.facts.input.channels.join(', ')}. Finds ${model.labels.map((l) => words(l.name)).join(', ')}.` : '';
  const warnings = model?.facts.warnings ?? [];
  $('model-warnings').replaceChildren(...warnings.map((text) => make('li', { textContent: text })));
  $('assumed').hidden = !model?.facts.imported;
  $('assumed-title').textContent = warnings.length > 0 ? 'The checkpoint did not say all' : 'Made of a checkpoint';
  $('keep-model').hidden = model?.entry.keptAs !== undefined;
  $('forget-model').hidden = model?.entry.keptAs === undefined;
  $('card-button').hidden = !model;
  if (model) renderCard(model);
}

/** The model's card, from what its package says. @param {import('./state.js').Model} model */
function renderCard({ facts, labels }) {
  /** @type {import('unetr-wgpu').TrainedOn | undefined} */
  const trained = facts.trained_on;
  /** @param {import('unetr-wgpu').Lengths} lengths */
  const range = ({ min, max }) => `${times(min, 1)} to ${times(max, 1)} mm`;
  /** @type {[string, string | undefined][]} */
  const rows = [
    ['Version', [facts.version, facts.licence && `licence ${facts.licence}`].filter(Boolean).join(', ')],
    ['Not for', facts.not_for?.join('; ')],
    ['Takes', facts.input.channels.join(', ')],
    ['Trained on', trained && [`${trained.cases} scans`, trained.modality].filter(Boolean).join(', ')],
    ['Their size', trained && range(trained.field_of_view_mm)],
    ['Their voxels', trained && range(trained.spacing_mm)],
    ['Finds', labels.map(({ value, name }) => {
      const seen = trained?.volumes.find((v) => v.value === value);
      return seen ? `${words(name)} (${seen.min_ml.toFixed(1)} to ${seen.max_ml.toFixed(1)} ml)` : words(name);
    }).join(', ')],
    ['Size', `${(facts.parameters / 1e6).toFixed(1)} million parameters, ${mib(facts.bytes)}`],
    .../** @type {[string, string][]} */ (facts.facts ?? []),
    ['Citation', facts.citation],
    ['SHA-256', facts.sha256],
  ];
  $('card-title').textContent = words(facts.name || 'The model');
  $('card-facts').replaceChildren(...rows.filter(([, text]) => text).flatMap(([name, text]) => [make('dt', { textContent: name }), make('dd', { textContent: text })]));
  $('card-text').textContent = facts.card ?? '';
  $('card-more').hidden = !facts.card;
}

/** @param {State} state */
function renderPlan({ plan, pending, result, windowMs }) {
  const time = plan && windowMs ? `, about ${duration(windowMs * plan.windows)}` : '';
  $('plan').textContent = plan ? `${plural(plan.windows, 'window')} of ${times(plan.roi, 0)}, ${mib(plan.memory.total)} on the GPU${time}.` : pending ? `The model, ${mib(pending.bytes ?? 0)}, is loaded when you press Segment or open a scan.` : '';
  const { warnings, doubts } = result?.run ?? plan ?? { warnings: /** @type {string[]} */ ([]), doubts: /** @type {string[]} */ ([]) };
  const list = (/** @type {string[]} */ texts) => [...new Set(texts)].map((text) => make('li', { textContent: text }));
  $('doubts-list').replaceChildren(...list(doubts));
  $('doubts').hidden = doubts.length === 0;
  const others = list(warnings.filter((text) => !doubts.includes(text)));
  $('warnings').replaceChildren(...others);
  $('warnings').hidden = others.length === 0;
}

/** @param {import('./state.js').Job} job */
function progressText({ kind, name, progress }) {
  if (!progress) {
    return { model: `Loading ${words(name)}…`, scan: `Reading ${name}…`, run: 'Starting…', import: 'Saving the model…', compare: `Comparing with ${name}…` }[kind];
  }
  const { phase, done, total, etaMs } = progress;
  const left = etaMs && etaMs > 0 ? `, about ${duration(etaMs)} left` : '';
  return {
    download: `Loading the model, ${mib(done)}${total ? ` of ${mib(total)}` : ''}${left}`,
    compile: total > 1 ? `Preparing the GPU, program ${done} of ${total}${left}` : 'Preparing the GPU…',
    preprocess: 'Reading the scan…',
    infer: done === 0 ? `${plural(total, 'window')}…` : `Window ${done} of ${total}${left}`,
    measure: 'Timing a window…',
    postprocess: 'Finishing…',
    selftest: '',
  }[phase];
}

/** @param {State} state */
function renderJob({ job }) {
  if (!job) return;
  const text = progressText(job);
  $('progress-text').textContent = text;
  $('veil-text').textContent = text;
  const { progress } = job;
  if (progress && progress.total > 0 && (progress.done > 0 || progress.phase === 'download')) $('bar').value = progress.fraction;
  else $('bar').removeAttribute('value');
}

/** @param {State} state */
function renderMessage({ message }) {
  $('message').textContent = message?.text ?? '';
  $('message').hidden = message === null;
  $('message').classList.toggle('note', message?.kind === 'note');
}

/** @param {State} state */
function renderResult({ result, model, comparison, reference }) {
  $('result').hidden = result === null;
  const own = result !== null && model !== null && result.sha256 === model.facts.sha256;
  $('compare').hidden = !own;
  $('hide-reference').hidden = !reference && !comparison;
  $('drawn').hidden = !reference || result !== null;
  $('drawn-text').textContent = `${reference} is drawn as a dashed line, and compared with the next result.`;
  if (!result) {
    $('spoken').textContent = '';
    return;
  }
  $('result-title').textContent = result.corrected ? 'Result, corrected by hand' : result.run ? 'Result' : 'Example result';
  if (result.run) {
    const { timings, plan, device } = result.run;
    $('timing').textContent = `${plural(plan.windows, 'window')} in ${(timings.totalMs / 1000).toFixed(1)} s on ${device.name}${device.software ? ', a software adapter' : ''}.`;
  } else {
    $('timing').textContent = 'Made beforehand by this model. Press Segment to compute it on your own GPU, or open your own scan.';
  }
  // Screen readers say only what changes in a part that was there before.
  $('spoken').textContent = `${$('result-title').textContent}: ${$('timing').textContent}`;
  $('save-uncertainty').hidden = !result.run?.uncertainty;
  for (const id of ['save-csv', 'save-json', 'save-record']) $(id).disabled = !result.run && !own;
}

/** What lies under the crosshair. @param {State} state */
function renderPlace({ place, result, viewerFault }) {
  if (viewerFault) {
    $('location').textContent = viewerFault;
    return;
  }
  if (!place) {
    $('location').textContent = '';
    return;
  }
  const name = result?.table.find((l) => l.value === place.label)?.name;
  const { value } = place;
  const number = value === undefined ? '' : Number.isInteger(value) ? String(value) : value.toPrecision(4);
  $('location').textContent = `${place.mm.map((v) => v.toFixed(1)).join(', ')} mm   ${number}${name ? `   ${words(name)}` : ''}${place.uncertainty === undefined ? '' : `   uncertainty ${place.uncertainty.toFixed(2)}`}`;
}

/** @param {State} state */
function renderView({ view, result, scan }) {
  for (const button of $('layout').children) button.ariaPressed = String(button.dataset.layout === view.layout);
  for (const button of document.querySelectorAll('[data-tool]')) {
    const own = /** @type {HTMLButtonElement} */ (button);
    own.ariaPressed = String(own.dataset.tool === view.tool);
    own.disabled = !scan || ((own.dataset.tool === 'brush' || own.dataset.tool === 'eraser') && !result);
  }
  $('pen-field').hidden = view.tool !== 'brush' || !result;
  $('brush-field').hidden = !['brush', 'eraser'].includes(view.tool);
  $('undo').hidden = !['brush', 'eraser'].includes(view.tool);
  $('undo').disabled = !view.undoable;
  $('clear-distances').hidden = view.tool !== 'distance';
  $('brush').value = String(view.brush);
  $('pen').value = String(view.pen);
  set('radiological', view.radiological);
  set('crosshair', view.crosshair);
  set('outline', view.outline);
  set('uncertainty', view.uncertainty);
  $('uncertainty-field').hidden = !result?.run?.uncertainty;
  set('labels-shown', view.labels);
  set('keys', view.keys);
  if ($('solid').value !== view.solid) $('solid').value = view.solid;
  for (const [id, value] of /** @type {[string, number][]} */ ([['scan-opacity', view.scanOpacity], ['opacity', view.labelOpacity]])) {
    if (Number($(id).value) !== value) $(id).value = String(value);
  }
  $('zoom').textContent = `${Math.round(100 * view.zoom)} %`;
  const { window } = view;
  for (const [id, value] of /** @type {[string, number | undefined][]} */ ([['level', window?.level], ['width', window?.width]])) {
    const text = value === undefined ? '' : String(Number(value.toPrecision(5)));
    if (document.activeElement !== $(id) && $(id).value !== text) $(id).value = text;
    $(id).disabled = !window;
  }
  const preset = PRESETS.some((p) => p.name === window?.preset) || window?.preset === 'Automatic' ? window?.preset : 'Own';
  $('preset').value = preset ?? 'Automatic';
  $('preset').disabled = !window;
}

/** @param {string} id @param {boolean} value */
function set(id, value) {
  $(id).checked = value;
}
