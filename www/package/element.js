/**
 * `<unetr-segmenter model="model.safetensors">`: a scan in, progress, labels out, for pages without a program of their own.
 * Importing this module defines it. Research use only, not a medical device.
 * @module
 */
import { typed } from './errors.js';
import { createSegmenter } from './index.js';

/**
 * @import { SegmentationResult } from './result.js'
 * @import { Segmenter } from './segmenter.js'
 * @import { Progress, Scan } from './types.js'
 */

const STYLE = `
  :host { display: block; font: 1rem/1.4 system-ui, sans-serif; }
  :host([hidden]), [hidden] { display: none !important; }
  section { border: 1px dashed color-mix(in srgb, currentColor 45%, transparent); border-radius: 8px; padding: 1rem; }
  section.over { border-style: solid; border-color: Highlight; }
  label { display: block; font-weight: 600; }
  input, button, a { font: inherit; min-height: 2.25rem; }
  input { display: block; margin: 0.25rem 0 0.75rem; max-width: 100%; font-weight: 400; }
  button, a { padding: 0.25rem 0.9rem; margin-right: 0.5rem; }
  a { display: inline-flex; align-items: center; padding: 0; }
  progress { display: block; width: 100%; margin: 0.75rem 0 0; }
  p { margin: 0.5rem 0; overflow-wrap: anywhere; }
  table { border-collapse: collapse; margin: 0.5rem 0; }
  caption { text-align: left; font-weight: 600; }
  th, td { text-align: left; padding: 0.15rem 1rem 0.15rem 0; font-weight: 400; }
  td { text-align: right; font-variant-numeric: tabular-nums; }
  i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.5em; }
`;

/** @type {Record<Progress['phase'], string>} */
const PHASES = {
  download: 'Loading the model', preprocess: 'Preparing the scan', compile: 'Compiling for this GPU', measure: 'Measuring', infer: 'Segmenting', postprocess: 'Finishing', selftest: 'Testing',
};

const HTML = `
  <section aria-label="Segment a scan">
    <label>Scan: a file, or the files of a DICOM series<input type="file" multiple></label>
    <button type="button" id="run">Segment</button><button type="button" id="cancel">Cancel</button>
    <progress max="1" aria-label="Progress" hidden></progress>
    <p role="status"></p>
    <table hidden><caption>Labels</caption><tbody></tbody></table>
    <p><a id="save" hidden>Save labels</a></p>
    <p>Research use only. Not a medical device. Nothing is uploaded.</p>
  </section>`;

// Programs that render pages on a server import this too, and have no elements.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/**
 * Attributes: `model`, a URL (or the property, any source of a model); `precision`, `overlap`, `asset-path` as of the package.
 * Events, none of which bubble: `progress` (`detail` is a Progress), `result` (a SegmentationResult), `error` (a UnetrError).
 */
export class UnetrSegmenterElement extends Base {
  static observedAttributes = ['model', 'precision', 'asset-path'];

  /**
   * Any source of a model; takes precedence over the attribute.
   * @type {import('./types.js').ModelSource | null}
   */
  #model = null;
  /** @type {SegmentationResult | null} */
  #result = null;
  /** @type {Segmenter | null} */
  #segmenter = null;
  /** @type {AbortController | null} */
  #stop = null;
  /** @type {string | null} */
  #address = null;

  /** The last result. */
  get result() {
    return this.#result;
  }

  get model() {
    return this.#model ?? this.getAttribute('model');
  }

  set model(model) {
    this.#model = model;
    this.#forget();
  }

  connectedCallback() {
    if (!this.shadowRoot) this.#build();
    this.#draw();
  }

  /** Stops what is running and frees the model; put into a page again it starts anew. */
  disconnectedCallback() {
    this.cancel();
    this.#forget();
    this.#release();
  }

  attributeChangedCallback() {
    this.#forget();
  }

  /**
   * Segments a scan, by default the files that were chosen.
   * @param {Scan} [scan]
   * @returns {Promise<SegmentationResult>}
   */
  async segment(scan = [...this.#input.files ?? []]) {
    this.cancel();
    const stop = new AbortController();
    this.#stop = stop;
    this.#result = null;
    this.#draw();
    this.#say('Starting');
    const onProgress = (/** @type {Progress} */ progress) => {
      if (this.#stop !== stop) return;
      this.#advance(progress);
      this.#tell('progress', progress);
    };
    try {
      const { model } = this;
      const overlap = this.getAttribute('overlap');
      const options = { signal: stop.signal, onProgress };
      const assetPath = this.getAttribute('asset-path');
      const precision = /** @type {'f32' | 'f16' | null} */ (this.getAttribute('precision'));
      this.#segmenter ??= await createSegmenter({ model: model ?? '', ...(precision && { precision }), ...(assetPath && { assetPath }), ...options });
      const result = await this.#segmenter.segment(scan, { ...options, ...(overlap && { overlap: Number(overlap) }) });
      this.#end(stop, result, ['Done', ...result.warnings].join('. '));
      this.#tell('result', result);
      return result;
    } catch (given) {
      const error = typed(given);
      this.#end(stop, null, error.code === 'aborted' ? 'Cancelled' : error.message);
      this.#tell('error', error);
      throw error;
    }
  }

  cancel() {
    this.#stop?.abort();
  }

  #forget() {
    this.#segmenter?.dispose();
    this.#segmenter = null;
  }

  #release() {
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /**
   * A run is over, unless another has begun.
   * @param {AbortController} stop
   * @param {SegmentationResult | null} result
   * @param {string} message
   */
  #end(stop, result, message) {
    if (this.#stop !== stop) return;
    this.#stop = null;
    this.#result = result;
    this.#draw();
    this.#say(message);
  }

  /**
   * @template {Element} T
   * @param {string} selector
   * @returns {T}
   */
  #part(selector) {
    return /** @type {T} */ (this.shadowRoot?.querySelector(selector));
  }

  /** @returns {HTMLInputElement} */
  get #input() {
    if (!this.shadowRoot) this.#build();
    return this.#part('input');
  }

  #build() {
    const shadow = this.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(document.createRange().createContextualFragment(HTML));
    const section = this.#part('section');
    /** @type {HTMLInputElement} */
    const input = this.#part('input');
    this.#part('#run').addEventListener('click', () => { this.segment().catch(() => {}); });
    this.#part('#cancel').addEventListener('click', () => this.cancel());
    input.addEventListener('change', () => this.#draw());
    for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
      section.addEventListener(name, (event) => {
        event.preventDefault();
        section.classList.toggle('over', name === 'dragenter' || name === 'dragover');
      });
    }
    section.addEventListener('drop', (event) => {
      const { files } = /** @type {DragEvent} */ (event).dataTransfer ?? {};
      if (!files?.length || this.#stop) return;
      input.files = files;
      this.#draw();
    });
  }

  /** @param {Progress} progress */
  #advance({ phase, fraction, total }) {
    /** @type {HTMLProgressElement} */
    const bar = this.#part('progress');
    if (total > 0) bar.value = fraction;
    else bar.removeAttribute('value');
    this.#say(total > 0 ? `${PHASES[phase]} ${Math.round(100 * fraction)} %` : PHASES[phase]);
  }

  /** @param {string} text */
  #say(text) {
    const status = this.#part('[role=status]');
    if (status && status.textContent !== text) status.textContent = text;
  }

  #draw() {
    if (!this.shadowRoot) return;
    const running = this.#stop !== null;
    const result = this.#result;
    /** @type {HTMLInputElement} */
    const input = this.#part('input');
    input.disabled = running;
    /** @type {HTMLButtonElement} */ (this.#part('#run')).disabled = running || !input.files?.length;
    /** @type {HTMLButtonElement} */ (this.#part('#cancel')).disabled = !running;
    /** @type {HTMLElement} */ (this.#part('progress')).hidden = !running;
    /** @type {HTMLElement} */ (this.#part('table')).hidden = !result;
    /** @type {HTMLAnchorElement} */
    const save = this.#part('#save');
    save.hidden = !result;
    this.#release();
    if (!result) return;
    const colors = new Map(result.labelTable.map(({ value, color }) => [value, color]));
    this.#part('tbody').replaceChildren(...result.statistics.map(({ name, value, volume_ml: ml }) => {
      const row = document.createElement('tr');
      const head = document.createElement('th');
      head.scope = 'row';
      const dot = document.createElement('i');
      dot.style.background = colors.get(value) ?? 'none';
      head.append(dot, name.replaceAll('_', ' '));
      const cell = document.createElement('td');
      cell.textContent = `${ml.toFixed(2)} ml`;
      row.append(head, cell);
      return row;
    }));
    this.#address = URL.createObjectURL(new Blob([result.toNifti()], { type: 'application/gzip' }));
    save.href = this.#address;
    save.download = `${(input.files?.[0]?.name ?? 'scan').replace(/(\.nii)?(\.gz)?$/i, '')}_labels.nii.gz`;
  }
}

if (globalThis.customElements && !customElements.get('unetr-segmenter')) customElements.define('unetr-segmenter', UnetrSegmenterElement);
