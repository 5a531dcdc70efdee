// What the page does: opens models and scans, runs, compares. All of it goes through the one state; what cannot lie there
// (the segmenter, the viewer) is held here.
import { createSegmenter, importCheckpoint, scanToNifti } from 'unetr-wgpu';
import { fetchFile, nameOf, stemOf } from './files.js';
import { nextFrame, save, words } from './format.js';
import { askFields, merge } from './import.js';
import { counts, distinct, middleOf, recounted, voxelVolume } from './labels.js';
import { explain } from './messages.js';
import { frameCount, framesOf, readLabels } from './nifti.js';
import { models as shelf } from './shelf.js';
import { choose } from './choose.js';
import { persist } from './database.js';

/** After a stroke of the brush, until the surfaces are made again. */
const SETTLE_MS = 800;

/**
 * @typedef {import('./state.js').State} State
 * @typedef {import('./state.js').Job} Job
 * @typedef {import('./state.js').Scan} Scan
 * @typedef {import('./state.js').Sample} Sample
 * @typedef {import('./state.js').ModelEntry} ModelEntry
 * @typedef {import('./state.js').Result} Result
 * @typedef {import('unetr-wgpu').Segmenter} Segmenter
 * @typedef {{files: File[], series?: string | string[], sample?: Sample | null, notes?: string[], name?: string}} Found
 */

export class Session {
  /** @type {import('./state.js').Store} */
  store;
  /** @type {import('./viewer/viewer.js').Viewer | null} */
  viewer = null;
  /** @type {Segmenter | null} */
  segmenter = null;
  /** Counts the scans that were asked for: only the last one is shown. */
  #turn = 0;
  /** A model on its way, and a scan. @type {Promise<unknown> | null} */
  #loading = null;
  /** @type {Promise<unknown> | null} */
  #opening = null;
  /** @type {import('./paces.js').Paces} */
  #paces;
  /** @type {Worker | null} */
  #surfaces = null;
  #surfaceTurn = 0;
  /** The labels that are drawn as the reference. @type {File | null} */
  #drawn = null;
  /** @type {import('./viewer/mesh-files.js').LabelSurface[]} */
  surfaces = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #settling;

  /** @param {import('./state.js').Store} store @param {import('./paces.js').Paces} paces */
  constructor(store, paces) {
    this.store = store;
    this.#paces = paces;
  }

  get state() {
    return this.store.state;
  }

  /** @param {string | null} text @param {'error' | 'note'} [kind] */
  say(text, kind = 'error') {
    this.store.set({ message: text ? { text, kind } : null });
  }

  /** @param {any} error @param {import('./messages.js').Named[]} [files] */
  complain(error, files) {
    if (error.code !== 'aborted' && error.name !== 'AbortError') this.say(explain(error, files));
  }

  /**
   * Does one thing that can be cancelled; null if it failed, which is then told.
   * @template T
   * @param {Job['kind']} kind
   * @param {string} name
   * @param {(options: {signal: AbortSignal, onProgress: (progress: import('unetr-wgpu').Progress) => void}) => Promise<T>} work
   * @param {import('./messages.js').Named[]} [files]
   */
  async #job(kind, name, work, files) {
    const controller = new AbortController();
    /** @type {Job} */
    const job = { kind, name, progress: null, controller };
    this.store.set({ job, message: null });
    const current = () => this.state.job?.controller === controller;
    try {
      return await work({
        signal: controller.signal,
        onProgress: (progress) => { if (current()) this.store.set({ job: { .../** @type {Job} */ (this.state.job), progress } }); },
      });
    } catch (error) {
      if (current()) this.complain(error, files);
      return null;
    } finally {
      if (current()) this.store.set({ job: null });
    }
  }

  cancel() {
    this.state.job?.controller.abort();
  }

  // Models

  /** Opens a model; if that fails, everything stays as it was. @param {ModelEntry} entry */
  async openModel(entry) {
    const turn = this.#turn;
    const work = this.#openModel(entry);
    const loading = work.then(() => {}, () => {});
    this.#loading = loading;
    const opened = await work.finally(() => { if (this.#loading === loading) this.#loading = null; });
    if (!opened) return false;
    const { scan, model } = this.state;
    const sample = model?.entry.sample;
    // Another organ's example would be of no use to this model; a scan that was asked for meanwhile is on its way.
    const other = scan?.sample && sample && sample.scan !== scan.sample.scan && turn === this.#turn;
    if (other) await this.openSample();
    else await this.replan();
    return true;
  }

  /** Loads the model that was put off until it is used. Gives whether there is one now. */
  async needModel() {
    const { pending } = this.state;
    if (pending) await this.openModel(pending);
    return this.segmenter !== null;
  }

  /** @param {ModelEntry} entry */
  async #openModel(entry) {
    if (!this.state.support?.webgpu) return false;
    // The scan on its way is read and planned by the segmenter that would be taken away.
    while (this.#opening) await this.#opening;
    const named = entry.model instanceof URL ? [] : [{ name: entry.name, size: entry.bytes ?? 0 }];
    const made = await this.#job('model', entry.name, (options) => this.#create(entry, options), named);
    if (!made) return false;
    this.segmenter?.dispose();
    this.segmenter = made;
    const facts = /** @type {any} */ (made.model);
    const known = { ...entry, name: facts.name || entry.name, bytes: facts.bytes, licence: facts.licence, sha256: facts.sha256, version: facts.version };
    const same = (/** @type {ModelEntry} */ m) => (entry.model instanceof URL ? String(m.model) === String(entry.model) : !(m.model instanceof URL) && m.name === entry.name && m.keptAs === entry.keptAs);
    const at = this.state.models.includes(entry) ? this.state.models.indexOf(entry) : this.state.models.findIndex(same);
    const models = at < 0 ? [...this.state.models, known] : this.state.models.with(at, known);
    if (this.state.result?.sha256 !== facts.sha256) this.#putAside();
    this.store.set({ models, model: { entry: known, facts, labels: distinct(made.labelTable) }, pending: null, plan: null, windowMs: this.#paces.of(facts.sha256, this.state.support) });
    return true;
  }

  /**
   * A segmenter of this model; asks for what a checkpoint does not tell, until it fits or the user gives up.
   * @param {ModelEntry} entry
   * @param {{signal: AbortSignal, onProgress: (progress: any) => void}} options
   */
  async #create(entry, options) {
    /** What was asked for, and what was typed. */
    const asked = { fields: /** @type {{field: string, hint: string}[] | null} */ (null), values: /** @type {Record<string, string>} */ ({}) };
    for (;;) {
      try {
        const { model, fields, fileSha256 } = entry;
        // The program's own files lie on this machine, and may change at their address.
        const cache = model instanceof URL && model.pathname.startsWith('/local/') ? 'none' : 'auto';
        return await createSegmenter({ model, package: fields, sha256: fileSha256, cache, ...options });
      } catch (error) {
        const { code, message, fields } = /** @type {any} */ (error);
        if (code === 'aborted' || (!fields && !asked.fields)) throw error;
        const again = asked.fields !== null;
        asked.fields = fields ?? asked.fields;
        const given = await askFields(/** @type {any} */ (asked.fields), asked.values, again ? message : '');
        if (!given) throw Object.assign(/** @type {Error} */ (error), { code: 'aborted' });
        Object.assign(asked.values, given.typed);
        entry.fields = merge(entry.fields, given.values);
      }
    }
  }

  async saveModel() {
    const { model } = this.state;
    if (!model) return;
    const { entry } = model;
    const made = await this.#job('import', entry.name, (options) => importCheckpoint(entry.model, { package: entry.fields, ...options }));
    if (made) save(made.model, `${entry.name.replace(/\.(pt|pth|ckpt|bin|safetensors|zip)$/i, '')}.safetensors`, 'application/octet-stream');
  }

  /** Keeps the package that an imported model became in this browser: the next visit has it in its list. */
  async keepModel() {
    const { model } = this.state;
    if (!model) return;
    const { entry, facts } = model;
    const made = await this.#job('import', entry.name, (options) => importCheckpoint(entry.model, { package: entry.fields, ...options }));
    if (!made) return;
    const file = new File([made.model], `${entry.name}.safetensors`);
    try {
      await persist();
      const { id } = await shelf.add({ name: entry.name, file, licence: facts.licence, version: facts.version });
      const kept = { ...entry, model: file, fields: undefined, keptAs: id };
      this.store.set({ models: this.state.models.map((m) => (m === entry ? kept : m)), model: { ...model, entry: kept } });
      this.say(`${words(entry.name)} is kept in this browser until you remove it (About…).`, 'note');
    } catch (error) {
      this.say(`This browser keeps nothing more (${/** @type {Error} */ (error).message}): save the model package instead.`);
    }
  }

  /** What earlier visits have kept, as lines of the list. @returns {Promise<ModelEntry[]>} */
  async keptModels() {
    const all = await shelf.all().catch(() => []);
    return all.map(({ id, name, file, licence, version }) => ({ model: file, name, bytes: file.size, licence, version, keptAs: id }));
  }

  /** Takes the model off what is kept; it stays loaded until the page is left. */
  async forgetModel() {
    const { model } = this.state;
    if (model?.entry.keptAs === undefined) return;
    const { entry } = model;
    await shelf.remove(/** @type {number} */ (entry.keptAs));
    const own = { ...entry, keptAs: undefined };
    this.store.set({ models: this.state.models.map((m) => (m === entry ? own : m)), model: { ...model, entry: own } });
  }

  // Scans

  /**
   * Opens a scan: it is read and planned before anything of the old one is taken away.
   * @param {() => Promise<Found | null>} find
   * @param {string} name
   */
  async openScan(find, name) {
    this.#turn += 1;
    const turn = this.#turn;
    // Whoever has asked for another scan meanwhile wants that one.
    const last = () => turn === this.#turn;
    // A scan that is dropped while a model loads is opened as soon as that is there.
    if (this.#loading) this.say(`${name} is opened as soon as the model is there.`, 'note');
    while (this.#loading) await this.#loading;
    if (!last()) return false;
    /** @type {File[]} */
    let files = [];
    const work = this.#job('scan', name, async (options) => {
      const found = await find();
      if (!found || found.files.length === 0 || !last()) return false;
      files = found.files;
      const ready = await this.#readable(found, options.signal);
      if (!last()) return false;
      await this.#showScan(found, ready);
      return true;
    }, files);
    const opening = work.then(() => {}, () => {}).finally(() => { if (this.#opening === opening) this.#opening = null; });
    this.#opening = opening;
    return (await work) ?? false;
  }

  /** The plan of these files, and what the viewer is to show of them. @param {Found} found @param {AbortSignal} signal */
  async #readable({ files, series }, signal) {
    try {
      // The reader that segments decides what a scan is, before anything is drawn.
      const plan = this.segmenter ? await this.segmenter.plan(files, { ...this.#overlap(), series, signal }) : null;
      // The viewer gets what the segmenter reads, on the same grid.
      const plain = files.every((f) => /\.(nii|hdr|img)(\.gz)?$/i.test(f.name));
      const shown = plain ? files : [new File([(await scanToNifti(files, { series, signal })).nifti], 'series.nii')];
      return { plan, shown: await this.#channels(shown) };
    } catch (error) {
      throw Object.assign(new Error(explain(/** @type {any} */ (error), files)), { code: /** @type {any} */ (error).code === 'aborted' ? 'aborted' : 'told' });
    }
  }

  /** One file with a frame for each channel as files of their own, so that each can be looked at. @param {File[]} shown */
  async #channels(shown) {
    const frames = shown.length === 1 ? await frameCount(shown[0]) : 1;
    if (frames === 1) return shown;
    const names = this.state.model?.facts.input.channels ?? [];
    return framesOf(shown[0], Array.from({ length: frames }, (_, i) => i), (i) => names[i] ?? `channel${i + 1}`);
  }

  /** @param {Found} found @param {{plan: import('unetr-wgpu').Plan | null, shown: File[]}} ready */
  async #showScan({ files, series, sample = null, notes = [], name }, { plan, shown }) {
    this.#putAside();
    /** @type {Scan} */
    const scan = {
      files, name: name ?? nameOf(files), stem: stemOf(files), shown, channel: 0, dims: plan?.scanDims ?? null, spacing: plan?.scanSpacing ?? null, series, sample, notes,
    };
    // The line under the picture told of the scan before.
    this.store.set({ scan, plan, place: null, comparison: null, reference: null });
    await this.#draw(scan);
  }

  /** @param {Scan} scan */
  async #draw(scan) {
    if (!this.viewer) return;
    try {
      const pair = scan.shown.length === 2 && /\.img(\.gz)?$/i.test(scan.shown[1].name);
      const seen = await this.viewer.showScan(pair ? scan.shown : [scan.shown[scan.channel]]);
      if (!seen || this.state.scan !== scan) return;
      const { dims, spacing, window } = seen;
      this.store.set({ scan: { ...scan, dims: scan.dims ?? dims, spacing: scan.spacing ?? spacing } });
      this.store.view({ window, zoom: 1, tool: 'crosshair', undoable: false });
    } catch (error) {
      if (this.state.scan === scan) this.say(`The viewer cannot show this scan: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** Shows another channel of the scan. @param {number} channel */
  async showChannel(channel) {
    const { scan, result } = this.state;
    if (!scan) return;
    const next = { ...scan, channel };
    // The line under the picture told of the channel before.
    this.store.set({ scan: next, place: null });
    await this.#draw(next);
    if (result) await this.#drawResult(result);
  }

  /** Plans the scan that is open again: the model or the overlap has changed. */
  async replan() {
    const { scan } = this.state;
    const { segmenter } = this;
    if (!segmenter || !scan) return;
    try {
      const plan = await segmenter.plan(scan.files, { ...this.#overlap(), series: scan.series });
      if (this.state.scan?.files === scan.files && this.segmenter === segmenter) this.store.set({ plan });
    } catch (error) {
      if (this.segmenter === segmenter) this.complain(error, scan.files);
    }
  }

  /** Opens what the model is shown on, with its labels where they were made beforehand. */
  async openSample() {
    const sample = (this.state.model?.entry ?? this.state.pending ?? this.state.models[0])?.sample;
    if (!sample) return false;
    const opened = await this.openScan(async () => ({ files: [await fetchFile(sample.scan)], sample }), 'the example');
    if (opened && sample.labels) await this.#showExample(sample);
    return opened;
  }

  /** The labels that this model gave for the sample, made beforehand. @param {Sample} sample */
  async #showExample(sample) {
    const { scan, models } = this.state;
    const entry = models.find((m) => m.sample?.scan === sample.scan);
    const table = entry?.labels && distinct(entry.labels);
    if (!scan || !table || !sample.labels) return;
    const file = await fetchFile(sample.labels).catch(() => null);
    if (!file || this.state.scan?.sample !== sample) return;
    const { labels, dims, affine } = await readLabels(file);
    const all = counts(labels);
    const ml = voxelVolume(affine) / 1000;
    const statistics = table.map(({ value, name }) => ({
      name, value, voxels: all[value], volume_ml: all[value] * ml, centroid_mm: null, bounding_box: null, touches_border: false, intensity: [],
    }));
    /** @type {Result} */
    const result = {
      scan: this.state.scan, model: entry.name, sha256: entry.sha256 ?? '', table, labels, dims, affine, statistics, run: null,
      nifti: new Uint8Array(await file.arrayBuffer()), warnings: [], corrected: false, saved: true,
    };
    await this.show(result);
  }

  // Runs

  async segment() {
    const { scan, plan, job, uncertainty } = this.state;
    const { segmenter, viewer } = this;
    if (!scan || !plan || job || !segmenter) return null;
    const before = this.state.result ?? this.state.kept;
    // Labels that were drawn before there was a result are meant to be compared with it.
    const drawn = this.state.result ? null : this.#drawn;
    this.#clearResult();
    this.store.set({ kept: before });
    const awake = navigator.wakeLock?.request('screen').catch(() => null);
    const made = await this.#job('run', scan.name, async (options) => {
      const table = distinct(segmenter.labelTable);
      const [, ny, nz] = plan.scanDims;
      // Parts of the result are drawn as soon as no later window changes them.
      const growing = plan.windows > 1 && (viewer?.beginLabels(plan.scanDims, table) ?? false);
      const whole = new Uint8Array(growing ? plan.scanDims.reduce((a, b) => a * b) : 0);
      const onLabels = growing ? (/** @type {import('unetr-wgpu').LabelBox} */ part) => {
        const { begin: [bx, by, bz], extent: [ex, ey, ez], labels } = part;
        for (let x = 0; x < ex; x += 1) for (let y = 0; y < ey; y += 1) whole.set(labels.subarray((x * ey + y) * ez, (x * ey + y + 1) * ez), ((bx + x) * ny + by + y) * nz + bz);
        viewer?.addLabels(part, whole);
      } : undefined;
      return segmenter.segment(scan.files, { ...this.#overlap(), series: scan.series, uncertainty, ...options, onLabels });
    }, scan.files);
    awake?.then((lock) => lock?.release()).catch(() => {});
    // Another scan was opened instead.
    if (this.state.scan?.files !== scan.files) return null;
    if (!made) {
      // What was there before stays, to be gone back to.
      viewer?.clearLabels();
      if (before?.scan.files === scan.files) await this.show(before);
      return null;
    }
    const { model, support } = this.state;
    if (model) this.#paces.set(model.facts.sha256, support, made.windowMs);
    /** @type {Result} */
    const result = {
      scan, model: model?.facts.name ?? '', sha256: model?.facts.sha256 ?? '', table: distinct(made.labelTable), labels: made.labels, dims: made.dims,
      affine: made.affine, statistics: made.statistics, run: made, nifti: made.toNifti(), warnings: made.warnings, corrected: false, saved: false,
    };
    this.store.set({ plan: made.plan, windowMs: made.windowMs, kept: null });
    await this.show(result);
    if (drawn) await this.compare(drawn);
    return result;
  }

  /** @param {Result} result */
  async show(result) {
    this.store.set({ result, kept: null, comparison: null, reference: null, alone: null, opacities: {} });
    await this.#drawResult(result);
  }

  /** @param {Result} result */
  async #drawResult(result) {
    const { viewer } = this;
    if (!viewer?.showLabels(result.labels, result.dims, result.table)) return;
    const map = result.run?.uncertaintyToNifti() ?? null;
    viewer.setUncertainty(map).catch((error) => this.say(`The map of uncertainty cannot be shown: ${error.message}`));
    // Its colours are seen between the labels' borders.
    this.store.view({ labels: true, pen: result.table[0]?.value ?? 0, undoable: false, ...(map && { uncertainty: true, outline: true }) });
    this.#makeSurfaces(result);
    await nextFrame();
    if (this.state.result !== result) return;
    const largest = result.statistics.reduce((a, b) => (b.voxels > a.voxels ? b : a));
    const middle = middleOf(result.labels, result.dims, largest.value);
    if (middle) viewer.goTo(middle);
  }

  /** @param {Result} result */
  #makeSurfaces({ labels, dims, affine, table }) {
    this.#surfaceTurn += 1;
    const turn = this.#surfaceTurn;
    if (!this.#surfaces) {
      this.#surfaces = new Worker('surfaces-worker.js', { type: 'module', name: 'surfaces' });
      this.#surfaces.addEventListener('message', ({ data: { id, surfaces } }) => {
        if (id !== this.#surfaceTurn || !this.state.result) return;
        this.surfaces = surfaces;
        this.viewer?.setSurfaces(surfaces);
      });
    }
    this.#surfaces.postMessage({ id: turn, labels, dims, affine, values: table.map((l) => l.value) });
  }

  #clearResult() {
    this.#surfaceTurn += 1;
    this.surfaces = [];
    this.viewer?.clearLabels();
    this.#drawn = null;
    this.viewer?.setReference(null, []);
    this.viewer?.setUncertainty(null);
    this.store.set({ result: null, comparison: null, reference: null, alone: null, opacities: {}, place: null });
    if (['brush', 'eraser'].includes(this.state.view.tool)) this.store.view({ tool: 'crosshair' });
  }

  /** A result that was computed can be gone back to until the next run. */
  #putAside() {
    const { result, kept } = this.state;
    this.#clearResult();
    this.store.set({ kept: result?.run ? result : kept });
  }

  /** Shows the result before, with its scan. */
  async goBack() {
    const { kept, scan } = this.state;
    if (!kept) return;
    if (kept.scan.files !== scan?.files) {
      const opened = await this.openScan(async () => ({ ...kept.scan }), kept.scan.name);
      if (!opened) return;
    }
    await this.show(kept);
  }

  // Looking, correcting, comparing

  /** @param {number} value */
  isolate(value) {
    const { result, alone } = this.state;
    if (!result) return;
    const next = alone === value ? null : value;
    this.store.set({ alone: next });
    // A brush that paints a hidden label would change what nobody sees.
    if (next !== null) this.store.view({ pen: next });
    const middle = next === null ? null : middleOf(result.labels, result.dims, next);
    if (middle) this.viewer?.goTo(middle);
  }

  /** Labels were changed by hand: volumes follow at once, surfaces when the hand rests. @param {boolean} undoable */
  edited(undoable) {
    const { result } = this.state;
    if (!result || !this.viewer) return;
    const labels = this.viewer.labels();
    const next = { ...result, labels, corrected: true, saved: false, statistics: recounted(result.statistics, labels, result.affine) };
    this.store.set({ result: next, comparison: null });
    this.store.view({ undoable });
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => { if (this.state.result === next) this.#makeSurfaces(next); }, SETTLE_MS);
  }

  /** Scores against the labels of a file on the same grid, which are drawn too. @param {File} file */
  async compare(file) {
    const { result, model } = this.state;
    if (!result || !this.segmenter) return;
    if (model?.facts.sha256 !== result.sha256) {
      this.say(`This result was made by ${result.model}: choose that model again to compare it.`);
      return;
    }
    const segmenter = this.segmenter;
    const made = await this.#job('compare', file.name, () => segmenter.compare(/** @type {any} */ (result), file), [file]);
    // Another result may have come meanwhile.
    if (!made || this.state.result !== result) return;
    this.store.set({ comparison: { name: file.name, ...made } });
    await this.drawReference(file, result.table);
  }

  /** @param {File} file @param {import('unetr-wgpu').Label[]} [table] */
  async drawReference(file, table = []) {
    const read = await readLabels(file).catch(() => null);
    const dims = this.state.scan?.dims;
    if (!read || !dims || !read.dims.every((n, a) => n === dims[a])) {
      this.say(`${file.name} cannot be drawn: it holds no labels on the grid of this scan.`);
      return;
    }
    this.#drawn = file;
    this.viewer?.setReference(read, table);
    this.store.set({ reference: file.name });
  }

  hideReference() {
    this.#drawn = null;
    this.viewer?.setReference(null, []);
    this.store.set({ reference: null, comparison: null });
  }

  /**
   * Whether what is about to be opened may take the place of a run: the user is asked.
   * @param {string} name
   */
  async mayOpen(name) {
    if (this.state.job?.kind !== 'run') return true;
    const stop = await choose({
      title: 'A segmentation is running', text: `Stop it and open ${name}?`, choices: [['stop', 'Stop and open'], ['stay', 'Let it run']],
    });
    if (stop !== 'stop') return false;
    this.cancel();
    return true;
  }

  #overlap() {
    const { overlap } = this.state;
    return overlap === '' ? {} : { overlap: Number(overlap) };
  }
}
