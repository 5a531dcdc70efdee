// One run at a time, which outlives the panel that started it.
import { UnetrError, checkSupport, createSegmenter } from 'unetr-wgpu';
import { Labelmap, scanOfVolumes } from 'unetr-wgpu/cornerstone3d';

const CORNERSTONE = '@ohif/extension-cornerstone.utilityModule.common';
const LABELMAP = 'Labelmap';
const PANEL = 'extension-unetr.panelModule.unetr';

/**
 * @typedef {object} State
 * @property {'idle' | 'running' | 'done' | 'failed'} status
 * @property {string} message
 * @property {number | null} fraction of the phase, null where it is not known
 * @property {{ name: string, ml: number, color: string }[]} labels
 * @property {string | null} segmentationId
 */

/** @type {State} */
const IDLE = { status: 'idle', message: '', fraction: null, labels: [], segmentationId: null };

const PHASES = {
  download: 'Loading the model', preprocess: 'Preparing the scan', compile: 'Compiling for this GPU', infer: 'Segmenting', postprocess: 'Finishing',
};

export class Job {
  /** The models that the site offers. @type {{ name: string, url: string }[]} */
  models;
  /** @type {State} */
  state = IDLE;
  #ohif;
  #assets;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {AbortController | null} */
  #stop = null;
  /** What was loaded last, ready for the next scan. @type {{ model: unknown, segmenter: any } | null} */
  #kept = null;

  constructor(ohif, { models = [], assetPath, worker } = {}) {
    this.#ohif = ohif;
    this.models = models;
    this.#assets = { ...(assetPath && { assetPath }), ...(worker && { worker }) };
  }

  /** Calls `listener` whenever the state changes; gives the way to stop it. @param {() => void} listener */
  listen(listener) {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  /** @param {Partial<State>} change */
  #set(change) {
    this.state = { ...this.state, ...change };
    for (const listener of this.#listeners) listener();
  }

  get #services() {
    return this.#ohif.servicesManager.services;
  }

  /** The series of the active viewport that can be segmented. */
  displaySet() {
    const { viewportGridService, displaySetService } = this.#services;
    const { viewports } = viewportGridService.getState();
    const shown = viewports.get(viewportGridService.getActiveViewportId())?.displaySetInstanceUIDs ?? [];
    return shown.map((uid) => displaySetService.getDisplaySetByUID(uid)).find((set) => set?.imageIds?.length > 0 && set.isReconstructable !== false) ?? null;
  }

  /** Calls `listener` when other series may be in the viewports, once the services have settled. @param {() => void} listener */
  onViewports(listener) {
    const { viewportGridService, displaySetService } = this.#services;
    const settled = () => setTimeout(listener);
    const heard = [viewportGridService, displaySetService].flatMap((service) => Object.values(service.EVENTS).map((event) => service.subscribe(event, settled)));
    return () => { for (const { unsubscribe } of heard) unsubscribe(); };
  }

  /**
   * Segments a display set; gives the id of the segmentation, or null where it was stopped or failed, which the state tells.
   * @param {{ model?: string | File, displaySetInstanceUID?: string }} [options]
   */
  async run({ model = this.models[0]?.url, displaySetInstanceUID } = {}) {
    if (this.#stop) throw new UnetrError('bad-input', 'a series is being segmented: wait, or cancel it');
    const stop = new AbortController();
    this.#stop = stop;
    this.#set({ ...IDLE, status: 'running', message: 'Starting' });
    const options = {
      signal: stop.signal,
      onProgress: ({ phase, fraction, total }) => this.#set({ message: PHASES[phase] ?? phase, fraction: total ? fraction : null }),
    };
    try {
      const { displaySetService } = this.#services;
      const set = displaySetInstanceUID ? displaySetService.getDisplaySetByUID(displaySetInstanceUID) : this.displaySet();
      if (!set?.imageIds?.length) throw new UnetrError('bad-input', 'the active viewport shows no series of slices: choose one');
      if (!model) throw new UnetrError('bad-input', 'no model was chosen');
      const { webgpu, reason } = await checkSupport();
      if (!webgpu) throw new UnetrError('no-webgpu', reason);
      const segmenter = await this.#segmenter(model, options);
      const made = await this.#segment(set, segmenter, options);
      const colors = new Map(segmenter.labelTable.map(({ value, color }) => [value, color]));
      const labels = made.result.statistics.map(({ name, value, volume_ml: ml }) => ({ name, ml, color: colors.get(value) ?? '#888888' }));
      this.#set({ status: 'done', message: [`Done: ${set.SeriesDescription || 'series'}`, ...made.result.doubts].join('. '), fraction: null, labels, segmentationId: made.segmentationId });
      return made.segmentationId;
    } catch (error) {
      const stopped = error?.name === 'AbortError';
      this.#set({ ...IDLE, status: stopped ? 'idle' : 'failed', message: stopped ? 'Cancelled' : String(error?.message ?? error) });
      if (!stopped) console.error('extension-unetr:', error);
      return null;
    } finally {
      this.#stop = null;
    }
  }

  async #segmenter(model, options) {
    if (this.#kept?.model !== model) {
      this.#kept?.segmenter.dispose();
      this.#kept = null;
      this.#kept = { model, segmenter: await createSegmenter({ model, ...this.#assets, ...options }) };
    }
    return this.#kept.segmenter;
  }

  async #segment(set, segmenter, options) {
    const { cornerstone: core, cornerstoneTools: tools } = this.#ohif.extensionManager.getModuleEntry(CORNERSTONE).exports.getCornerstoneLibraries();
    const { segmentationService } = this.#services;
    const volumeId = `unetr-source-${crypto.randomUUID()}`;
    const watched = this.#listeners.size > 0;
    let segmentationId = null;
    let labelmap = null;
    try {
      const volume = await core.volumeLoader.createAndCacheVolume(volumeId, { imageIds: set.imageIds });
      await loaded(volume, options.signal);
      const scan = scanOfVolumes(core, [volume]);
      // What OHIF writes into a DICOM SEG; without it it would say that these were drawn by hand.
      const algorithm = { algorithmType: 'AUTOMATIC', algorithmName: `${segmenter.model.name} ${segmenter.model.version}`.slice(0, 64) };
      const segments = Object.fromEntries(segmenter.labelTable.map(({ value, name }, i) => [value, { label: name, segmentIndex: value, active: i === 0, ...algorithm }]));
      segmentationId = await segmentationService.createLabelmapForDisplaySet(set, { label: `${segmenter.model.name} (research use only)`, segments });
      await this.#show(segmentationId, set, segmenter.labelTable);
      // Modes turn to their own panel when a segmentation comes; whoever looks at the progress stays with it.
      if (watched) setTimeout(() => this.#services.panelService?.activatePanel(PANEL, true));
      // The service's images are in the series' order, the volume's along its slices.
      const { imageIds } = tools.segmentation.state.getSegmentation(segmentationId).representationData[LABELMAP];
      const images = volume.imageIds.map((id) => imageIds[set.imageIds.indexOf(id)]);
      const changed = () => tools.segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(segmentationId);
      labelmap = new Labelmap(core, images, scan.dims, changed);
      const result = await segmenter.segment(scan, { ...options, onLabels: (part) => labelmap.add(part) });
      labelmap.fill(result.labels);
      return { result, segmentationId };
    } catch (error) {
      labelmap?.stop();
      if (segmentationId && segmentationService.getSegmentation(segmentationId)) segmentationService.remove(segmentationId);
      throw error;
    } finally {
      // Its images stay: the viewports have them too.
      if (core.cache.getVolume(volumeId)) core.cache.removeVolumeLoadObject(volumeId);
    }
  }

  /** Shows a segmentation in every viewport that shows the series, in the labels' colours. */
  async #show(segmentationId, set, table) {
    const { segmentationService, viewportGridService } = this.#services;
    for (const [viewportId, { displaySetInstanceUIDs = [] }] of viewportGridService.getState().viewports) {
      if (!displaySetInstanceUIDs.includes(set.displaySetInstanceUID)) continue;
      await segmentationService.addSegmentationRepresentation(viewportId, { segmentationId, type: LABELMAP });
      for (const { value, color } of table) {
        const rgb = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
        segmentationService.setSegmentColor(viewportId, segmentationId, value, [...rgb, 255]);
      }
    }
  }

  cancel() {
    this.#stop?.abort();
  }

  /** The segmentation as a DICOM SEG file, by OHIF's own command. */
  download() {
    return this.#command('downloadSegmentation');
  }

  /** Asks for a name and stores the segmentation as DICOM SEG in the data source, by OHIF's own command. */
  store() {
    return this.#command('storeSegmentation');
  }

  async #command(name) {
    try {
      await this.#ohif.commandsManager.runCommand(name, { segmentationId: this.state.segmentationId });
    } catch (error) {
      this.#set({ message: `DICOM SEG: ${error?.message ?? error}` });
    }
  }

  /** The mode is left: its segmentations go, and with them the model. */
  leave() {
    this.cancel();
    this.#kept?.segmenter.dispose();
    this.#kept = null;
    this.#set(IDLE);
  }
}

/** Waits until all images of a volume are there. */
async function loaded(volume, signal) {
  volume.load();
  while (!volume.loadStatus.loaded) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
