// Many scans, one after the other: a list that outlives the page, its table, and one file for all volumes.
import { zipSync } from 'fflate';
import { persist } from './database.js';
import { stemOf, nameOf } from './files.js';
import { $, make, plural, save, words } from './format.js';
import { readLabels } from './nifti.js';
import { scans as shelf } from './shelf.js';

/** @typedef {import('./shelf.js').Kept} Kept */

export class Queue {
  #session;
  /** @type {Kept[]} */
  #items = [];
  /** The item that is being segmented. @type {number | null} */
  #at = null;
  #stopped = true;
  /** Whether the browser keeps it. */
  #kept = true;

  /** @param {import('./session.js').Session} session */
  constructor(session) {
    this.#session = session;
    $('queue-run').addEventListener('click', () => (this.running ? this.#stop() : this.run()));
    $('queue-csv').addEventListener('click', () => save(this.csv(), 'statistics.csv', 'text/csv'));
    $('queue-zip').addEventListener('click', () => this.#saveLabels());
    $('queue-clear').addEventListener('click', () => this.#clear());
  }

  get running() {
    return !this.#stopped;
  }

  /** Takes up what an earlier visit has left; it goes on when it is asked to. */
  async restore() {
    this.#items = await shelf.all().catch(() => []);
    this.#render();
  }

  /** @param {import('./session.js').Found[]} scans */
  async add(scans) {
    await persist().catch(() => false);
    for (const { files, series, name } of scans) {
      /** @type {Omit<Kept, 'id'>} */
      const item = { name: name ?? nameOf(files), files, series, state: 'waiting' };
      try {
        this.#items.push(await shelf.add(item));
      } catch {
        // Private windows and full disks: the list then lasts as long as the page.
        this.#kept = false;
        this.#items.push({ ...item, id: -1 - this.#items.length });
      }
    }
    this.#render();
    await this.run();
  }

  async run() {
    if (this.running) return;
    this.#stopped = false;
    for (;;) {
      const item = this.#items.find((i) => i.state === 'waiting');
      if (!item || this.#stopped) break;
      this.#at = item.id;
      this.#render();
      await this.#one(item);
    }
    this.#at = null;
    this.#stopped = true;
    this.#render();
  }

  /** @param {Kept} item */
  async #one(item) {
    const session = this.#session;
    const opened = await session.openScan(async () => ({ files: item.files, series: item.series, name: item.name }), item.name);
    const result = opened ? await session.segment() : null;
    if (result?.run) {
      const { model, sha256, table, statistics, nifti, warnings } = result;
      Object.assign(item, { state: 'done', model, sha256, table, statistics, nifti, warnings, csv: result.run.statisticsCsv(), error: undefined });
      session.store.set({ result: session.state.result && { ...session.state.result, saved: this.#kept } });
    } else if (!session.state.message) {
      // It was cancelled: it waits, and so do the others.
      this.#stopped = true;
      return;
    } else {
      Object.assign(item, { state: 'failed', error: session.state.message.text });
    }
    if (item.id > 0) await shelf.put(item).catch(() => { this.#kept = false; });
  }

  #stop() {
    this.#stopped = true;
    this.#session.cancel();
    this.#render();
  }

  /** @param {Kept} item */
  async #show(item) {
    const session = this.#session;
    if (!(await session.openScan(async () => ({ files: item.files, series: item.series, name: item.name }), item.name))) return;
    if (!item.nifti || !item.table || !item.statistics || !session.state.scan) return;
    const { labels, dims, affine } = await readLabels(new Blob([item.nifti]));
    await session.show({
      scan: session.state.scan, model: item.model ?? '', sha256: item.sha256 ?? '', table: item.table, labels, dims, affine, statistics: item.statistics,
      run: null, nifti: item.nifti, warnings: item.warnings ?? [], corrected: false, saved: true, csv: item.csv,
    });
  }

  /** @param {Kept} item */
  async #remove(item) {
    this.#items = this.#items.filter((i) => i !== item);
    if (item.id > 0) await shelf.remove(item.id).catch(() => {});
    this.#render();
  }

  async #clear() {
    if (this.running) this.#stop();
    for (const item of this.#items) if (item.id > 0) await shelf.remove(item.id).catch(() => {});
    this.#items = [];
    this.#render();
  }

  /** The statistics of all scans, with a column that names the scan. */
  csv() {
    const done = this.#items.filter((i) => i.csv);
    const lines = done.flatMap(({ name, csv = '' }, n) => {
      const [head, ...rows] = csv.trimEnd().split(/\r?\n/);
      const quoted = /[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
      return [...(n === 0 ? [`scan,${head}`] : []), ...rows.map((row) => `${quoted},${row}`)];
    });
    return `${lines.join('\n')}\n`;
  }

  #saveLabels() {
    /** @type {Record<string, Uint8Array>} */
    const files = {};
    for (const { files: own, nifti, id } of this.#items) {
      if (!nifti) continue;
      const name = `${stemOf(own)}_labels`;
      files[`${name in files || `${name}.nii.gz` in files ? `${name}_${id}` : name}.nii.gz`] = nifti;
    }
    // They are packed already.
    save(/** @type {Uint8Array<ArrayBuffer>} */ (zipSync(files, { level: 0 })), 'labels.zip', 'application/zip');
  }

  #render() {
    const items = this.#items;
    const done = items.filter((i) => i.state === 'done').length;
    const waiting = items.filter((i) => i.state === 'waiting').length;
    $('queue').hidden = items.length === 0;
    $('queue-state').textContent = `${done} of ${plural(items.length, 'scan')} done${waiting && !this.running ? `, ${waiting} waiting` : ''}. ${this.#kept ? 'Kept in this browser until deleted.' : 'This browser keeps nothing: save before you leave.'}`;
    $('queue-run').hidden = waiting === 0 && !this.running;
    $('queue-run').textContent = this.running ? 'Stop' : done > 0 ? 'Go on' : 'Segment all';
    for (const id of ['queue-csv', 'queue-zip']) $(id).disabled = done === 0;
    $('queue-rows').replaceChildren(...items.map((item) => {
      const active = item.id === this.#at;
      const ml = item.statistics?.reduce((sum, s) => sum + s.volume_ml, 0);
      const state = active ? 'running…' : item.state === 'done' ? `${ml?.toFixed(2)} ml` : item.state;
      const show = make('button', { type: 'button', textContent: 'Show', ariaLabel: `Show ${item.name}`, disabled: this.running });
      show.addEventListener('click', () => this.#show(item));
      const away = make('button', { type: 'button', textContent: 'Delete', ariaLabel: `Delete ${item.name}`, disabled: active });
      away.addEventListener('click', () => this.#remove(item));
      const volumes = item.statistics?.map((s) => `${words(s.name)} ${s.volume_ml.toFixed(2)} ml`).join('\n');
      return make('tr', { title: item.error ?? volumes ?? '' },
        make('th', { scope: 'row', textContent: item.name }), make('td', { className: 'number', textContent: state }), make('td', { className: 'actions' }, show, away));
    }));
  }
}
