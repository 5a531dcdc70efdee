// The panel: a model, run, progress, cancel, what was found, DICOM SEG. Plain elements in a component of OHIF's React.
import { Component, createElement, createRef } from 'react';

/** @param {import('./job.js').Job} job */
export function panelOf(job) {
  return class UnetrPanel extends Component {
    #place = createRef();
    #leave = () => {};

    componentDidMount() {
      this.#leave = mount(this.#place.current, job);
    }

    componentWillUnmount() {
      this.#leave();
    }

    render() {
      return createElement('div', { ref: this.#place, 'data-cy': 'unetr-panel' });
    }
  };
}

const FIELD = 'display:block;width:100%;margin-top:4px;padding:4px 6px;border-radius:4px;border:1px solid currentColor;background:transparent;color:inherit';
const BUTTON = 'flex:1;padding:6px 8px;border-radius:4px;border:1px solid currentColor;color:inherit';

/** An element with attributes and children. */
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'style') element.style.cssText = value;
    else if (key in element && typeof value !== 'string') element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/**
 * @param {HTMLElement} place
 * @param {import('./job.js').Job} job
 */
function mount(place, job) {
  const model = h('select', { style: FIELD });
  for (const { name, url } of job.models) model.append(h('option', { value: url, style: 'color:#000' }, name));
  model.append(h('option', { value: '', style: 'color:#000' }, 'A file of mine...'));
  const file = h('input', { type: 'file', accept: '.safetensors,.pt,.pth,.zip', style: FIELD });
  const series = h('p', { style: 'margin:8px 0' });
  const run = h('button', { type: 'button', style: BUTTON }, 'Segment');
  const cancel = h('button', { type: 'button', style: BUTTON }, 'Cancel');
  const bar = h('progress', { max: 1, style: 'width:100%', 'aria-label': 'Progress' });
  const status = h('p', { role: 'status', style: 'margin:4px 0;overflow-wrap:anywhere' });
  const found = h('ul', { 'aria-label': 'Labels', style: 'list-style:none;margin:8px 0;padding:0' });
  const download = h('button', { type: 'button', style: BUTTON }, 'Download SEG');
  const store = h('button', { type: 'button', style: BUTTON }, 'Store SEG');
  const row = 'display:flex;gap:8px;margin:8px 0';
  const fileLabel = h('label', { style: 'display:block;margin-top:8px' }, 'Model file', file);
  place.append(h('section', { 'aria-label': 'UNETR', style: 'padding:12px;font-size:14px;color:#e6edf5' },
    h('label', {}, 'Model', model), fileLabel, series, h('div', { style: row }, run, cancel), bar, status, found,
    h('div', { style: row }, download, store), h('p', { style: 'opacity:.8;margin-top:8px' }, 'Research use only. Not a medical device.')));

  const draw = () => {
    const { status: at, message, fraction, labels, segmentationId } = job.state;
    const set = job.displaySet();
    const running = at === 'running';
    series.textContent = set ? `Series: ${set.SeriesDescription || set.Modality || 'unnamed'}, ${set.imageIds.length} slices` : 'The active viewport shows no series of slices.';
    fileLabel.style.display = model.value === '' ? 'block' : 'none';
    model.disabled = running;
    file.disabled = running;
    const ready = model.value !== '' || file.files.length > 0;
    run.disabled = running || !set || !ready;
    cancel.disabled = !running;
    bar.style.display = running ? 'block' : 'none';
    if (fraction === null) bar.removeAttribute('value');
    else bar.value = fraction;
    const text = fraction === null ? message : `${message} ${Math.round(100 * fraction)} %`;
    if (status.textContent !== text) status.textContent = text;
    status.style.color = at === 'failed' ? '#ff9a8a' : '';
    found.replaceChildren(...labels.map(({ name, ml, color }) => h('li', { style: 'display:flex;gap:8px;align-items:center' },
      h('span', { style: `width:12px;height:12px;border-radius:2px;background:${color}`, 'aria-hidden': 'true' }), h('span', { style: 'flex:1' }, name.replaceAll('_', ' ')), `${ml.toFixed(2)} ml`)));
    for (const button of [download, store]) button.disabled = !segmentationId;
    for (const button of [run, cancel, download, store]) button.style.opacity = button.disabled ? 0.45 : 1;
  };
  run.addEventListener('click', () => { void job.run({ model: model.value || file.files[0] }); });
  cancel.addEventListener('click', () => job.cancel());
  download.addEventListener('click', () => { void job.download(); });
  store.addEventListener('click', () => { void job.store(); });
  for (const input of [model, file]) input.addEventListener('change', draw);
  const ends = [job.listen(draw), job.onViewports(draw)];
  draw();
  return () => {
    for (const end of ends) end();
    place.replaceChildren();
  };
}
