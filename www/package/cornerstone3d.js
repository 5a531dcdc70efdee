/**
 * Segments volumes of Cornerstone3D 5; the labels become a labelmap segmentation, and DICOM SEG. Cornerstone's modules are
 * given by the page, because a page must have each once. Research use only, not a medical device.
 * @module
 */
import { UnetrError, aborted } from './errors.js';
import { Labelmap, scanOfVolumes } from './labelmap.js';
import { rgb, runOnce, valuesOf } from './run.js';
import { dicomSeg } from './seg.js';

export { Labelmap, scanOfVolumes } from './labelmap.js';

/**
 * @import { SegmentationResult } from './result.js'
 * @import { CodedLabel, Model, RunOnce } from './run.js'
 * @import { SegOptions } from './seg.js'
 */

/**
 * `import * as core from '@cornerstonejs/core'` and `import * as tools from '@cornerstonejs/tools'`, of the page.
 * @typedef {{ core: any, tools: any }} Cornerstone
 */

/**
 * @typedef {object} Where
 * @property {string | string[]} [volumeId] The volume in Cornerstone's cache that is to be segmented, or one for each channel of the model.
 * @property {string[]} [imageIds] Or the images of one series, of which a volume is made.
 * @property {string[]} [viewportIds] Where the labels are shown. Default every viewport that shows the volume or its images.
 * @property {string} [segmentationId] Default a new one.
 * @property {string} [label] The segmentation's name. Default the model's.
 */

/** @typedef {Model & RunOnce & Where} CornerstoneOptions */

/** How often a volume that is loading is looked at. */
const LOOK_MS = 50;

/** A run's labels as a segmentation of Cornerstone3D. */
export class CornerstoneLabels {
  /** @readonly @type {SegmentationResult} */
  result;
  /** @readonly @type {string} */
  segmentationId;
  /**
   * The segmented volume in Cornerstone's cache.
   * @readonly @type {string}
   */
  volumeId;
  #cornerstone;
  #shown;

  /**
   * @internal
   * @param {Cornerstone} cornerstone
   * @param {Shown} shown
   * @param {SegmentationResult} result
   */
  constructor(cornerstone, shown, result) {
    this.#cornerstone = cornerstone;
    this.#shown = shown;
    this.result = result;
    this.segmentationId = shown.segmentationId;
    this.volumeId = shown.volume.volumeId;
  }

  /**
   * Shows the labels in another viewport.
   * @param {string} viewportId
   */
  show(viewportId) {
    this.#shown.show(viewportId);
  }

  /**
   * Shows these labels alone, by value or name; null shows all.
   * @param {number | string | (number | string)[] | null} labels
   */
  isolate(labels) {
    const only = labels === null ? null : valuesOf(this.result.labelTable, labels);
    this.#shown.isolate(only);
  }

  /**
   * The labels as a DICOM Segmentation object that names the source's images, study and frame of reference.
   * @param {SegOptions} options
   * @returns {ArrayBuffer}
   */
  toDicomSeg(options) {
    const { volume, table } = this.#shown;
    return dicomSeg(this.#cornerstone.core, volume, this.result, table, options);
  }

  /** Removes the segmentation, its images and a volume that was made for it alone; the result stays valid. */
  dispose() {
    this.#shown.remove();
  }
}

/**
 * Segments a volume; the segmentation grows as labels become final. A run that is stopped or fails leaves none.
 * @param {Cornerstone} cornerstone
 * @param {CornerstoneOptions} options
 * @returns {Promise<CornerstoneLabels>}
 */
export async function segmentCornerstone(cornerstone, options) {
  const { volumeId, imageIds, viewportIds, segmentationId = `unetr-${crypto.randomUUID()}`, label, ...rest } = options;
  if (!cornerstone?.core?.volumeLoader || !cornerstone.tools?.segmentation) {
    throw new UnetrError('bad-input', 'Cornerstone3D is missing: give { core, tools }, the modules @cornerstonejs/core and @cornerstonejs/tools');
  }
  const made = imageIds ? `unetr-source-${crypto.randomUUID()}` : null;
  const names = made ? [made] : [volumeId ?? []].flat();
  const { core } = cornerstone;
  /** @type {Shown | undefined} */
  let shown;
  try {
    if (made) await core.volumeLoader.createAndCacheVolume(made, { imageIds });
    const result = await runOnce(rest, {
      async scan(channels) {
        if (names.length !== channels) throw new UnetrError('bad-input', `the model needs ${channels} volume(s) and ${names.length} is or are given: give volumeId or imageIds`);
        for (const name of names) await loaded(core, name, rest.signal);
        return scanOfVolumes(core, names.map((name) => core.cache.getVolume(name)));
      },
      begin(table) {
        const volume = core.cache.getVolume(names[0]);
        shown = new Shown(cornerstone, volume, { table, segmentationId, label, made: Boolean(made) });
        for (const id of viewportIds ?? shown.viewports()) shown.show(id);
      },
      part(box) { shown?.labelmap.add(box); },
    });
    if (!shown) throw new UnetrError('internal', 'the run told no labels');
    shown.labelmap.fill(result.labels);
    return new CornerstoneLabels(cornerstone, shown, result);
  } catch (error) {
    if (shown) shown.remove();
    else if (made && core.cache.getVolume(made)) core.cache.removeVolumeLoadObject(made);
    throw error;
  }
}

/**
 * Waits until all images of a volume are there.
 * @param {any} core
 * @param {string} name
 * @param {AbortSignal | undefined} signal
 */
async function loaded(core, name, signal) {
  const volume = core.cache.getVolume(name);
  if (!volume) throw new UnetrError('bad-input', `there is no volume "${name}" in Cornerstone's cache: load it first, or give imageIds`);
  volume.load?.();
  while (volume.loadStatus && !volume.loadStatus.loaded) {
    if (signal?.aborted) throw aborted(signal.reason);
    if (volume.loadStatus.cancelled) throw new UnetrError('aborted', `loading the volume "${name}" was cancelled`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** A segmentation as Cornerstone's tools keep and show it. */
class Shown {
  segmentationId;
  volume;
  table;
  labelmap;
  #core;
  #tools;
  #made;
  #labelmapId;
  /** @type {Set<string>} */
  #viewports = new Set();

  /**
   * @param {Cornerstone} cornerstone
   * @param {any} volume
   * @param {{ table: CodedLabel[], segmentationId: string, label: string | undefined, made: boolean }} options
   */
  constructor({ core, tools }, volume, { table, segmentationId, label, made }) {
    this.segmentationId = segmentationId;
    this.volume = volume;
    this.table = table;
    this.#core = core;
    this.#tools = tools;
    this.#made = made;
    this.#labelmapId = segmentationId;
    const { volumeLoader, metaData, Enums } = core;
    const placed = volume.imageIds?.length && metaData.get(Enums.MetadataModules.IMAGE_PLANE, volume.imageIds[0]);
    const { metadata, dimensions, spacing, origin, direction } = volume;
    const derived = placed
      ? volumeLoader.createAndCacheDerivedLabelmapVolume(volume.volumeId, { volumeId: this.#labelmapId })
      : volumeLoader.createLocalLabelmapVolume({ metadata, dimensions, spacing, origin, direction }, this.#labelmapId);
    const segments = Object.fromEntries(table.map(({ value, name }, i) => [value, { label: name, active: i === 0 }]));
    tools.segmentation.addSegmentations([{
      segmentationId,
      representation: {
        type: tools.Enums.SegmentationRepresentations.Labelmap,
        data: { volumeId: this.#labelmapId, referencedVolumeId: volume.volumeId, ...(placed && { imageIds: derived.imageIds, referencedImageIds: volume.imageIds }) },
      },
      config: { label: label ?? 'UNETR', segments },
    }]);
    const changed = (/** @type {number[]} */ slices) => tools.segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(segmentationId, slices);
    this.labelmap = new Labelmap(core, derived.imageIds, [dimensions[0], dimensions[1], dimensions[2]], changed);
  }

  /** The viewports that show the volume or its images now. */
  viewports() {
    const { volumeId, imageIds = [] } = this.volume;
    const images = new Set(imageIds);
    return this.#core.getEnabledElements()
      .map((/** @type {any} */ element) => element.viewport)
      .filter((/** @type {any} */ viewport) => viewport?.getAllVolumeIds?.().includes(volumeId) || viewport?.getImageIds?.().some((/** @type {string} */ id) => images.has(id)))
      .map((/** @type {any} */ viewport) => viewport.id);
  }

  /** @param {string} viewportId */
  show(viewportId) {
    const { segmentation } = this.#tools;
    segmentation.addLabelmapRepresentationToViewport(viewportId, [{ segmentationId: this.segmentationId }]);
    for (const { value, color } of this.table) segmentation.config.color.setSegmentIndexColor(viewportId, this.segmentationId, value, [...rgb(color), 255]);
    this.#viewports.add(viewportId);
  }

  /** @param {number[] | null} only */
  isolate(only) {
    const { segmentation, Enums } = this.#tools;
    const which = { segmentationId: this.segmentationId, type: Enums.SegmentationRepresentations.Labelmap };
    for (const viewportId of this.#viewports) {
      for (const { value } of this.table) {
        segmentation.config.visibility.setSegmentIndexVisibility(viewportId, which, value, only === null || only.includes(value));
      }
    }
  }

  remove() {
    const { cache } = this.#core;
    const { segmentation } = this.#tools;
    this.labelmap.stop();
    if (segmentation.state.getSegmentation(this.segmentationId)) segmentation.removeSegmentation(this.segmentationId);
    const { volumeId } = this.volume;
    // A viewport may show the volume still.
    const used = this.#core.getEnabledElements().some((/** @type {any} */ element) => element.viewport?.getAllVolumeIds?.().includes(volumeId));
    if (cache.getVolume(this.#labelmapId)) cache.removeVolumeLoadObject(this.#labelmapId);
    for (const imageId of this.labelmap.imageIds) if (cache.getImageLoadObject(imageId)) cache.removeImageLoadObject(imageId, { force: true });
    if (this.#made && !used && cache.getVolume(volumeId)) cache.removeVolumeLoadObject(volumeId);
  }
}
