// Puts the page together: state, session, viewer, and what its controls do.
import { checkSupport, listModels } from 'unetr-wgpu';
import { Diagnostics } from './diagnostics.js';
import { listenForDrops } from './drop.js';
import { fetchFile, sameOrigin, visible } from './files.js';
import { $ } from './format.js';
import { listenForKeys } from './keys.js';
import { attachMenu } from './menu.js';
import { siteModels, whenChosen } from './models.js';
import { keepOffline } from './offline.js';
import { Opener } from './open.js';
import { Paces } from './paces.js';
import { Queue } from './queue.js';
import { render } from './render.js';
import { saveAs } from './save.js';
import { Session } from './session.js';
import { INITIAL, Store } from './state.js';
import { loadSettings, saveSettings } from './settings.js';
import { PRESETS, fittingWindow } from './viewer/window.js';

const store = new Store({ ...INITIAL, view: { ...INITIAL.view, ...loadSettings() } });
const session = new Session(store, new Paces());
const queue = new Queue(session);
const opener = new Opener(session, queue);
/** @type {Diagnostics | undefined} */
let diagnostics;

const actions = {
  /** @param {number} value */
  isolate: (value) => session.isolate(value),
  /** @param {number} value @param {number} opacity */
  opacity: (value, opacity) => store.set({ opacities: { ...store.state.opacities, [value]: opacity } }),
};

store.listen((state, before) => {
  render(state, before, actions);
  const { viewer } = session;
  if (viewer && state.view !== before.view) viewer.view = state.view;
  if (viewer && (state.alone !== before.alone || state.opacities !== before.opacities || state.view.labels !== before.view.labels)) {
    viewer.paint((value) => (!state.view.labels || (state.alone !== null && state.alone !== value) ? 0 : state.opacities[value] ?? 1));
  }
  if (state.view !== before.view) saveSettings(state.view);
  if (state.result !== before.result && state.result?.run) diagnostics?.ran(state.result.run);
});

function wireFiles() {
  /** @param {string} button @param {string} input @param {(files: File[]) => void} chosen */
  const choose = (button, input, chosen) => {
    $(button).addEventListener('click', () => $(input).click());
    $(input).addEventListener('change', () => {
      chosen([...$(input).files]);
      $(input).value = '';
    });
  };
  choose('open-scan', 'scan-input', (files) => opener.open(files));
  choose('open-folder', 'folder-input', (files) => opener.open(files.filter(visible)));
  choose('open-model', 'model-input', (files) => opener.open(files));
  choose('compare', 'reference-input', ([file]) => session.compare(file));
  // Phones have no folders to choose.
  $('open-folder').hidden = !('webkitdirectory' in HTMLInputElement.prototype) || matchMedia('(pointer: coarse) and (hover: none)').matches;
  listenForDrops((dropping) => store.set({ dropping }), (files) => opener.open(files));
}

function wireRun() {
  for (const id of ['hide-reference', 'hide-drawn']) $(id).addEventListener('click', () => session.hideReference());
  $('sample').addEventListener('click', () => session.openSample());
  $('save-model').addEventListener('click', () => session.saveModel());
  $('keep-model').addEventListener('click', () => session.keepModel());
  $('forget-model').addEventListener('click', () => session.forgetModel());
  $('go-back').addEventListener('click', () => session.goBack());
  $('overlap').addEventListener('change', () => {
    store.set({ overlap: $('overlap').value, message: null });
    session.replan();
  });
  $('ask-uncertainty').addEventListener('change', () => store.set({ uncertainty: $('ask-uncertainty').checked }));
  $('segment').addEventListener('click', segment);
  $('cancel').addEventListener('click', () => session.cancel());
  // The key that started the run may still be held down when Cancel takes its place.
  $('cancel').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => { if (event.repeat) event.preventDefault(); });
  $('channel').addEventListener('change', () => session.showChannel(Number($('channel').value)));
  $('card-button').addEventListener('click', () => $('card').showModal());
  for (const item of $('save-menu').querySelectorAll('[data-save]')) {
    item.addEventListener('click', () => saveAs(session, item.dataset.save).catch((error) => session.complain(error)));
  }
}

/** The keyboard stays at this place while the button is away: while the model is loaded, and during the run. */
async function segment() {
  if ($('segment').disabled) return;
  const free = () => document.activeElement === document.body || document.activeElement === $('cancel');
  const here = document.activeElement === $('segment') || free();
  const follow = () => { if (here && store.state.job && (free() || document.activeElement === $('segment'))) $('cancel').focus({ preventScroll: true }); };
  const work = session.needModel().then(async (there) => {
    if (!there) return;
    const run = session.segment();
    follow();
    await run;
  });
  follow();
  await work;
  if (here && free()) $('segment').focus({ preventScroll: true });
}

function wireView() {
  for (const button of $('layout').children) button.addEventListener('click', () => store.view({ layout: button.dataset.layout }));
  for (const button of document.querySelectorAll('[data-tool]')) {
    button.addEventListener('click', () => store.view({ tool: /** @type {any} */ (button).dataset.tool }));
  }
  /** @param {string} id @param {string} event @param {(element: any) => Partial<import('./state.js').View>} change */
  const on = (id, event, change) => $(id).addEventListener(event, () => store.view(change($(id))));
  on('radiological', 'change', (e) => ({ radiological: e.checked }));
  on('crosshair', 'change', (e) => ({ crosshair: e.checked }));
  on('uncertainty', 'change', (e) => ({ uncertainty: e.checked }));
  on('outline', 'change', (e) => ({ outline: e.checked }));
  on('labels-shown', 'change', (e) => ({ labels: e.checked }));
  on('keys', 'change', (e) => ({ keys: e.checked }));
  on('solid', 'change', (e) => ({ solid: e.value }));
  on('opacity', 'input', (e) => ({ labelOpacity: Number(e.value), labels: true }));
  on('scan-opacity', 'input', (e) => ({ scanOpacity: Number(e.value) }));
  on('brush', 'change', (e) => ({ brush: Number(e.value) }));
  on('pen', 'change', (e) => ({ pen: Number(e.value) }));
  $('zoom-in').addEventListener('click', () => zoom(store.state.view.zoom * 1.25));
  $('zoom-out').addEventListener('click', () => zoom(store.state.view.zoom / 1.25));
  $('reset').addEventListener('click', () => {
    zoom(1);
    resetWindow();
  });
  $('undo').addEventListener('click', () => session.viewer?.undo());
  $('clear-distances').addEventListener('click', () => session.viewer?.clearDistances());
  $('preset').append(...PRESETS.map(({ name }) => Object.assign(document.createElement('option'), { value: name, textContent: `CT ${name.toLowerCase()}` })));
  $('preset').addEventListener('change', () => {
    const preset = PRESETS.find((p) => p.name === $('preset').value);
    if (preset) store.view({ window: { level: preset.level, width: preset.width, preset: preset.name } });
    else resetWindow();
  });
  for (const id of ['level', 'width']) {
    $(id).addEventListener('change', () => {
      const { window } = store.state.view;
      const value = Number($(id).value);
      if (window && Number.isFinite(value) && (id === 'level' || value > 0)) store.view({ window: { ...window, [id]: value, preset: 'Own' } });
    });
  }
}

/** @param {number} wanted */
function zoom(wanted) {
  const near = Math.abs(wanted - 1) < 0.02 ? 1 : wanted;
  store.view({ zoom: Math.max(0.5, Math.min(20, near)) });
}

function resetWindow() {
  const volume = session.viewer?.volume;
  if (volume) store.view({ window: fittingWindow(volume) });
}

const hooks = {
  /** @param {import('./state.js').State['place']} place */
  onPlace: (place) => store.set({ place }),
  /** @param {{level: number, width: number}} window */
  onWindow: (window) => store.view({ window: { ...window, preset: 'Own' } }),
  /** @param {number} value */
  onZoom: (value) => zoom(value),
  /** @param {'axial' | 'coronal' | 'sagittal' | 'volume'} plane */
  onEnlarge: (plane) => {
    const { layout, large } = store.state.view;
    if (layout !== 'all') store.view({ layout: 'all' });
    else if (large === plane) store.view({ layout: plane });
    else store.view({ large: plane });
  },
  /** @param {boolean} undoable */
  onEdit: (undoable) => session.edited(undoable),
};

async function startViewer() {
  try {
    const { Viewer } = await import('./viewer/viewer.js');
    session.viewer = await Viewer.create($('view'), $('over'), hooks);
    session.viewer.view = store.state.view;
  } catch (error) {
    store.set({ viewerFault: `The viewer could not start (${/** @type {Error} */ (error).message}); segmenting and saving still work.` });
  }
}

/** Opens what the address asks for, or the example. @param {Promise<void>} viewer */
async function openFirst(viewer) {
  const address = new URLSearchParams(location.search);
  // What the address asks for and does not get: to be read at the end, when something else is shown instead.
  /** @type {string[]} */
  const refused = [];
  const told = () => { if (store.state.message) refused.push(store.state.message.text); };
  const { models, support } = store.state;
  /** @type {Promise<boolean>} */
  let model = Promise.resolve(false);
  let asked;
  try {
    asked = address.get('model') && sameOrigin(/** @type {string} */ (address.get('model')));
  } catch (error) {
    refused.push(/** @type {Error} */ (error).message);
  }
  const listed = asked && models.find((m) => String(m.model) === String(asked));
  const first = asked ? listed || { model: asked, name: asked.pathname.split('/').pop() ?? '' } : models[0];
  const scans = address.getAll('scan');
  if (support?.webgpu && first) {
    // The first page shows what there is without it; whoever uses it waits for it then. What is kept costs nothing.
    const kept = (await listModels()).some((m) => m.complete && m.url === String(first.model));
    if (asked || scans.length > 0 || kept || !first.sample?.labels) model = session.openModel(first);
    else store.set({ pending: first });
  }
  await viewer;
  // What was cancelled is not wanted; what failed is told, with something else in its place.
  if (!(await model) && asked && store.state.message) {
    told();
    if (models[0]) await session.openModel(models[0]);
  }
  // Several are channels, or the files of a series.
  if (scans.length > 0) {
    try {
      await opener.open(await Promise.all(scans.map(fetchFile)));
    } catch (error) {
      session.complain(error);
    }
    if (!store.state.scan) told();
  }
  if (!store.state.scan && !store.state.job && !(await session.openSample())) told();
  if (refused.length > 0) session.say(`${refused.join(' ')} What this site has is shown instead.`);
}

async function start() {
  addEventListener('unhandledrejection', ({ reason }) => session.complain(reason));
  addEventListener('beforeunload', (event) => {
    const { job, result } = store.state;
    if (job?.kind === 'run' || queue.running || (result && !result.saved)) event.preventDefault();
  });
  render(store.state, null, actions);
  wireFiles();
  wireRun();
  wireView();
  attachMenu($('save-menu-button'), $('save-menu'));
  attachMenu($('view-menu-button'), $('view-menu'));
  $('adapter').addEventListener('click', () => diagnostics?.open());
  $('help-button').addEventListener('click', () => $('help').showModal());
  for (const button of document.querySelectorAll('dialog [data-close]')) button.addEventListener('click', () => button.closest('dialog')?.close());
  listenForKeys({
    o: () => $('open-scan').click(), s: segment, l: () => store.view({ labels: !store.state.view.labels }),
    r: () => { if (store.state.result && !$('compare').hidden) $('compare').click(); }, d: () => diagnostics?.open(), '?': () => $('help').showModal(),
  }, () => session.cancel(), () => store.state.view.keys);
  const viewer = startViewer();
  const [support, site, kept] = await Promise.all([checkSupport(), siteModels(), session.keptModels()]);
  const models = [...site, ...kept];
  diagnostics = new Diagnostics(support);
  store.set({ support, models });
  whenChosen($('models'), async () => {
    const entry = store.state.models[Number($('models').value)];
    if (entry && entry !== store.state.model?.entry && !(await session.openModel(entry))) store.set({ models: [...store.state.models] });
  });
  await openFirst(viewer);
  await queue.restore();
  if (await keepOffline()) store.set({ offline: true });
}

await start();
