// The scan in three planes and in 3-D, with labels over it: NiiVue draws the voxels, `overlay.js` what is written over them.
import { DRAG_MODE, NVImage, NVMesh, Niivue, PEN_TYPE, SLICE_TYPE } from '@niivue/niivue';
import { nextFrame, rgb } from '../format.js';
import { Frames } from './frames.js';
import { LabelLayer } from './label-layer.js';
import { drawOverlay, tilesOf } from './overlay.js';
import { PLANES, planeName, tiles } from './tiles.js';
import { fittingWindow } from './window.js';

/** @type {Record<string, [number, number, number]>} */
const STEPS = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0], ArrowUp: [0, 1, 0], PageDown: [0, 0, -1], PageUp: [0, 0, 1],
};
/** What a drag with the left button does, for each tool. @type {Record<string, number>} */
const DRAGS = {
  crosshair: DRAG_MODE.crosshair, brush: DRAG_MODE.crosshair, eraser: DRAG_MODE.crosshair,
  window: DRAG_MODE.windowing, pan: DRAG_MODE.pan, distance: DRAG_MODE.measurement,
};
/** Azimuth of the side that is cut off the scan in 3-D, which is the one that is looked at first. */
const CUT_SIDE = 290;
const NO_CUT = [2, 0, 0];
/** Of a map over the scan, which is still to be seen below it. */
const MAP_OPACITY = 0.7;
/** From this uncertainty on the map has all of its opacity. */
const MAP_FULL = 0.3;
/** NiiVue's number for colours that begin at 0 and fade below the least value. */
const FADING = 1;

/**
 * @typedef {import('../state.js').View} View
 * @typedef {import('unetr-wgpu').Label} Label
 * @typedef {{at: (voxel: [number, number, number]) => number}} Grid
 *
 * @typedef {object} Hooks
 * @property {(place: NonNullable<import('../state.js').State['place']>) => void} onPlace
 * @property {(window: {level: number, width: number}) => void} onWindow the user has changed it by dragging
 * @property {(zoom: number) => void} onZoom
 * @property {(plane: 'axial' | 'coronal' | 'sagittal' | 'volume') => void} onEnlarge a view was clicked twice
 * @property {(undoable: boolean) => void} onEdit labels were changed by brush, eraser or undo
 */

export class Viewer {
  /** @type {any} */
  #nv;
  /** @type {HTMLCanvasElement} */
  #over;
  /** @type {Hooks} */
  #hooks;
  /** @type {LabelLayer} */
  #labels;
  /** @type {Frames} */
  #frames;
  /** @type {View | null} */
  #view = null;
  /** @type {Label[]} */
  #table = [];
  /** @type {(value: number) => number} */
  #visible = () => 1;
  /** @type {{at: Grid['at'], table: Label[]} | null} */
  #reference = null;
  /** @type {{value: number, mesh: any}[]} */
  #meshes = [];
  /** What is slow to read does not take the place of something later. */
  #scans = 0;
  #maps = 0;
  #surfaceSets = 0;
  #strokes = 0;

  /** @param {HTMLCanvasElement} canvas @param {HTMLCanvasElement} over @param {Hooks} hooks */
  static async create(canvas, over, hooks) {
    const viewer = new Viewer();
    viewer.#over = over;
    viewer.#hooks = hooks;
    const nv = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0,
      show3Dcrosshair: false,
      isOrientationTextVisible: false,
      dragAndDropEnabled: false,
      isColorbar: false,
      isRadiologicalConvention: true,
      meshThicknessOn2D: 0,
      loadingText: '',
      clipPlaneColor: [0, 0, 0, 0],
      rulerColor: [1, 0.89, 0.54, 1],
      measureLineColor: [1, 0.89, 0.54, 1],
      measureTextColor: [1, 0.89, 0.54, 1],
      penType: PEN_TYPE.PEN,
      maxDrawUndoBitmaps: 16,
      logLevel: 'error',
    });
    viewer.#nv = nv;
    viewer.#labels = new LabelLayer(nv);
    viewer.#frames = new Frames(nv, { onDrawn: () => viewer.#write(), surfacesAlone: () => viewer.#surfacesAlone });
    nv.onLocationChange = () => viewer.#place();
    nv.onIntensityChange = () => viewer.#windowed();
    nv.onDrawingChanged = (/** @type {string} */ action) => viewer.#drawn(action);
    // Its own letters would do other things than the page's at the same time.
    nv.keyDownListener = () => {};
    nv.keyUpListener = () => {};
    viewer.#wrap();
    await nv.attachToCanvas(canvas);
    viewer.#frames.begin();
    viewer.#listen(canvas);
    return viewer;
  }

  /** In 3-D the scan is drawn only where it is asked for; hidden labels are not drawn over; a grey window waits for its frame. */
  #wrap() {
    const nv = this.#nv;
    const { drawImage3D, drawPenLine, drawPt, windowingHandler } = Niivue.prototype;
    nv.drawImage3D = (/** @type {any[]} */ ...all) => {
      if (this.#surfacesAlone) return;
      const { drawOpacity } = nv;
      // Labels are surfaces there.
      if (this.#meshes.length > 0) nv.drawOpacity = 0;
      drawImage3D.apply(nv, /** @type {any} */ (all));
      nv.drawOpacity = drawOpacity;
    };
    nv.drawPt = (/** @type {any[]} */ ...all) => {
      const at = all.slice(0, 3);
      this.#labels.sparing(this.#visible, at, at, () => drawPt.apply(nv, /** @type {any} */ (all)));
    };
    nv.drawPenLine = (/** @type {any[]} */ ...all) => {
      this.#labels.sparing(this.#visible, all[0], all[1], () => drawPenLine.apply(nv, /** @type {any} */ (all)));
    };
    nv.windowingHandler = (/** @type {any[]} */ ...all) => {
      const { refreshLayers } = nv;
      // The whole scan is put through its colours again, at most once a frame.
      nv.refreshLayers = () => {};
      windowingHandler.apply(nv, /** @type {any} */ (all));
      nv.refreshLayers = refreshLayers;
      this.#frames.rewindow();
      this.#windowed();
    };
  }

  get #surfacesAlone() {
    return this.#meshes.length > 0 && this.#view?.solid === 'surfaces';
  }

  /** @param {HTMLCanvasElement} canvas */
  #listen(canvas) {
    const nv = this.#nv;
    canvas.addEventListener('keydown', (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey || nv.volumes.length === 0) return;
      event.preventDefault();
      const [x, y, z] = step;
      // Right is where the picture shows it.
      nv.moveCrosshairInVox(this.#view?.radiological ? -x : x, y, z);
    });
    // NiiVue would put back the window.
    canvas.addEventListener('dblclick', (event) => {
      event.stopImmediatePropagation();
      const { left, top } = canvas.getBoundingClientRect();
      const tile = nv.tileIndex((event.clientX - left) * nv.uiData.dpr, (event.clientY - top) * nv.uiData.dpr);
      const slice = nv.screenSlices[tile];
      if (slice) this.#hooks.onEnlarge(planeName(slice.axCorSag));
    }, { capture: true });
    canvas.addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      this.#hooks.onZoom(nv.scene.pan2Dxyzmm[3] * 1.0015 ** -event.deltaY);
    }, { capture: true, passive: false });
    new ResizeObserver(() => { if (this.#view) this.#arrange(this.#view); }).observe(canvas);
  }

  /** Cuts the scan open in 3-D where the crosshair is, or not. @param {View} view */
  #cut({ solid }) {
    const nv = this.#nv;
    if (solid !== 'cut') {
      nv.setClipPlane(NO_CUT);
      return;
    }
    const [x, y] = nv.sph2cartDeg(CUT_SIDE + 180, 0);
    const [i, j] = nv.scene.crosshairPos;
    nv.setClipPlane([-x * (i - 0.5) - y * (j - 0.5), CUT_SIDE, 0]);
  }

  /** @param {string} action */
  #drawn(action) {
    if (!this.#labels.shown || (action !== 'draw' && action !== 'undo')) return;
    this.#strokes += action === 'draw' ? 1 : -1;
    this.#hooks.onEdit(this.#strokes > 0);
  }

  #place() {
    const [volume] = this.#nv.volumes;
    if (!volume) return;
    const voxel = this.#nv.frac2vox(this.#nv.scene.crosshairPos);
    const mm = Array.from(this.#nv.frac2mm(this.#nv.scene.crosshairPos, 0, true)).slice(0, 3).map(Number);
    const value = volume.getValue(voxel[0], voxel[1], voxel[2], volume.frame4D);
    if (this.#view?.solid === 'cut') this.#cut(this.#view);
    const uncertainty = this.#nv.volumes[1]?.getValue(voxel[0], voxel[1], voxel[2]);
    this.#hooks.onPlace({ mm, value, label: this.#labels.at(voxel), uncertainty });
  }

  #windowed() {
    const { cal_min: low, cal_max: high } = this.#nv.volumes[0] ?? {};
    if (low === undefined) return;
    this.#hooks.onWindow({ level: (low + high) / 2, width: high - low });
  }

  /** The scan that is shown. */
  get volume() {
    return this.#nv.volumes[0] ?? null;
  }

  /** Everything that the page says of the picture. @param {View} view */
  set view(view) {
    const nv = this.#nv;
    const before = this.#view;
    this.#view = view;
    if (view.layout !== before?.layout || view.large !== before.large) this.#arrange(view);
    nv.opts.isRadiologicalConvention = view.radiological;
    nv.setMouseEventConfig({
      leftButton: { primary: DRAGS[view.tool], withShift: DRAG_MODE.pan, withCtrl: DRAG_MODE.windowing }, rightButton: DRAG_MODE.windowing, centerButton: DRAG_MODE.pan,
    });
    nv.setTouchEventConfig({ singleTouch: DRAGS[view.tool], doubleTouch: DRAG_MODE.pan });
    const drawing = this.#labels.shown && (view.tool === 'brush' || view.tool === 'eraser');
    if (drawing !== nv.opts.drawingEnabled) nv.setDrawingEnabled(drawing);
    nv.opts.penValue = view.tool === 'eraser' ? 0 : view.pen;
    nv.opts.penSize = view.brush;
    nv.drawOpacity = view.labels && !view.outline ? view.labelOpacity : 0;
    if (nv.volumes[0]) nv.volumes[0].opacity = view.scanOpacity;
    if (nv.volumes[1] && view.uncertainty !== before?.uncertainty) nv.setOpacity(1, view.uncertainty ? MAP_OPACITY : 0);
    if (view.zoom !== nv.scene.pan2Dxyzmm[3]) this.#zoom(view.zoom);
    if (view.solid !== before?.solid) this.#cut(view);
    if (view.window && (view.window.level !== before?.window?.level || view.window.width !== before?.window?.width)) this.#setWindow(view.window);
    nv.drawScene();
  }

  /** @param {View} view */
  #arrange({ layout, large }) {
    const nv = this.#nv;
    if (layout === 'all') {
      nv.opts.sliceType = SLICE_TYPE.MULTIPLANAR;
      nv.customLayout = tiles(large, nv.canvas.clientWidth > nv.canvas.clientHeight);
    } else {
      nv.customLayout = null;
      nv.opts.sliceType = PLANES[layout];
    }
    nv.drawScene();
  }

  /** What lies under the crosshair stays where it is. @param {number} zoom */
  #zoom(zoom) {
    const { scene } = this.#nv;
    const change = scene.pan2Dxyzmm[3] - zoom;
    scene.pan2Dxyzmm[3] = zoom;
    if (zoom === 1) {
      scene.pan2Dxyzmm.fill(0, 0, 3);
      return;
    }
    const mm = this.#nv.frac2mm(scene.crosshairPos);
    for (let a = 0; a < 3; a += 1) scene.pan2Dxyzmm[a] += change * mm[a];
  }

  /** At most once a frame: the whole scan is put through its colours again. @param {{level: number, width: number}} window */
  #setWindow({ level, width }) {
    const [volume] = this.#nv.volumes;
    if (!volume) return;
    const [low, high] = [level - width / 2, level + width / 2];
    if (volume.cal_min === low && volume.cal_max === high) return;
    volume.cal_min = low;
    volume.cal_max = high;
    this.#frames.rewindow();
  }

  /**
   * Shows a scan; gives null if another was asked for meanwhile.
   * @param {File[]} files
   */
  async showScan(files) {
    const [first, second] = files;
    const pair = /\.img(\.gz)?$/i.test(second?.name ?? '') ? { urlImgData: second } : {};
    this.#scans += 1;
    const turn = this.#scans;
    const image = /** @type {any} */ (await NVImage.loadFromFile(/** @type {any} */ ({ file: first, name: first.name, ...pair })));
    await nextFrame();
    if (turn !== this.#scans) return null;
    this.clearLabels();
    this.setReference(null, []);
    const nv = this.#nv;
    nv.clearAllMeasurements();
    while (nv.volumes.length > 0) nv.removeVolume(nv.volumes[0]);
    this.#frames.clear();
    const window = fittingWindow(image);
    image.cal_min = window.level - window.width / 2;
    image.cal_max = window.level + window.width / 2;
    nv.scene.crosshairPos.fill(0.5);
    nv.scene.pan2Dxyzmm.set([0, 0, 0, 1]);
    nv.addVolume(image);
    return {
      window,
      dims: /** @type {[number, number, number]} */ (image.hdr.dims.slice(1, 4)),
      spacing: /** @type {[number, number, number]} */ (image.hdr.pixDims.slice(1, 4)),
    };
  }

  /** A map over the scan and below the labels, 0 to 1 in every voxel; null for none. @param {Uint8Array<ArrayBuffer> | null} nifti */
  async setUncertainty(nifti) {
    const nv = this.#nv;
    this.#maps += 1;
    const turn = this.#maps;
    while (nv.volumes.length > 1) nv.removeVolume(nv.volumes[1]);
    if (!nifti) return;
    const name = 'uncertainty.nii.gz';
    const image = /** @type {any} */ (await NVImage.loadFromFile(/** @type {any} */ ({ file: new File([nifti], name), name, colormap: 'inferno' })));
    if (turn !== this.#maps || nv.volumes.length !== 1) return;
    // What is certain does not darken the scan: below the least value the map becomes transparent.
    Object.assign(image, { cal_min: MAP_FULL, cal_max: 1, colormapType: FADING, opacity: this.#view?.uncertainty ? MAP_OPACITY : 0 });
    nv.addVolume(image);
    this.#place();
  }

  /** An empty result, to be filled by `addLabels`. @param {number[]} dims @param {Label[]} table */
  beginLabels(dims, table) {
    this.clearLabels();
    this.#table = table;
    this.#strokes = 0;
    // The program that draws surfaces is compiled by the time there are any.
    void this.#nv.meshShaders[0].shader.program;
    const fits = this.#labels.begin(dims);
    if (fits) this.paint(() => 1);
    return fits;
  }

  /** @param {import('unetr-wgpu').LabelBox} box @param {Uint8Array} whole */
  addLabels(box, whole) {
    this.#labels.add(box, whole);
  }

  /** @param {Uint8Array} labels @param {number[]} dims @param {Label[]} table */
  showLabels(labels, dims, table) {
    if (!this.#labels.shown && !this.beginLabels(dims, table)) return false;
    this.#table = table;
    this.#strokes = 0;
    this.#labels.fill(labels);
    return true;
  }

  /** The labels as brush and eraser have left them. */
  labels() {
    return this.#labels.read();
  }

  undo() {
    this.#nv.drawUndo();
  }

  clearLabels() {
    this.setSurfaces([]);
    this.#nv.setDrawingEnabled(false);
    this.#labels.clear();
    this.#strokes = 0;
  }

  /** How much of each label is to be seen, 0 to 1. @param {(value: number) => number} visible */
  paint(visible) {
    this.#visible = visible;
    this.#showSurfaces();
    if (this.#labels.shown) this.#labels.paint(this.#table, visible);
    else this.#nv.drawScene();
  }

  /** Labels whose borders are drawn as well; null for none. @param {{labels: Uint8Array, dims: number[]} | null} reference @param {Label[]} table */
  setReference(reference, table) {
    if (!reference) {
      this.#reference = null;
    } else {
      const { labels, dims: [, ny, nz] } = reference;
      const { permRAS, dimsRAS } = this.#nv.volumes[0];
      /** @type {Grid['at']} */
      const at = (voxel) => {
        const native = [0, 0, 0];
        for (let axis = 0; axis < 3; axis += 1) {
          const n = Math.abs(permRAS[axis]) - 1;
          native[n] = permRAS[axis] < 0 ? dimsRAS[axis + 1] - 1 - voxel[axis] : voxel[axis];
        }
        return labels[(native[0] * ny + native[1]) * nz + native[2]];
      };
      this.#reference = { at, table };
    }
    if (this.#nv.volumes.length > 0) this.#nv.drawScene();
  }

  /**
   * Surfaces are made one a frame, and shown together: with each of them everything would be drawn again. Those before stay
   * until then. NiiVue's own way of adding one uploads the whole scan again each time.
   * @param {import('./mesh-files.js').LabelSurface[]} surfaces in mm
   */
  async setSurfaces(surfaces) {
    const nv = this.#nv;
    this.#surfaceSets += 1;
    const turn = this.#surfaceSets;
    /** @type {{value: number, mesh: any}[]} */
    const meshes = [];
    for (const { value, points, triangles } of surfaces) {
      await nextFrame();
      // Others are to take their place.
      if (turn !== this.#surfaceSets) break;
      const color = rgb(this.#table.find((l) => l.value === value)?.color ?? '#cccccc');
      meshes.push({ value, mesh: new NVMesh(points, triangles, String(value), new Uint8Array([...color, 255]), 1, true, nv.gl) });
    }
    if (surfaces.length > 0) await nextFrame();
    const last = turn === this.#surfaceSets;
    for (const { mesh } of last ? this.#meshes : meshes) mesh.unloadMesh(nv.gl);
    if (!last) return;
    this.#meshes = meshes;
    this.#frames.renew();
    this.#showSurfaces();
    nv.meshes = meshes.map(({ mesh }) => mesh);
    nv.drawScene();
  }

  /** As much of each surface as is to be seen of its label. */
  #showSurfaces() {
    for (const { value, mesh } of this.#meshes) {
      mesh.opacity = this.#visible(value);
      mesh.visible = mesh.opacity > 0;
    }
  }

  /** Moves the crosshair to a voxel of the file. @param {[number, number, number]} voxel */
  goTo(voxel) {
    const nv = this.#nv;
    if (nv.volumes.length === 0) return;
    nv.scene.crosshairPos = nv.vox2frac(this.#labels.toView(voxel));
    nv.drawScene();
    this.#place();
  }

  clearDistances() {
    this.#nv.clearAllMeasurements();
  }

  /** Draws what is now shown, without gaps, into a canvas. */
  picture() {
    const { canvas, uiData } = this.#nv;
    const whole = document.createElement('canvas');
    whole.width = canvas.width;
    whole.height = canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (whole.getContext('2d'));
    context.fillStyle = '#000';
    context.fillRect(0, 0, whole.width, whole.height);
    this.#frames.drawWhole();
    context.drawImage(canvas, 0, 0);
    drawOverlay(context, tilesOf(this.#nv), this.#overlayOptions());
    return { canvas: whole, context, dpr: uiData.dpr };
  }

  #overlayOptions() {
    const nv = this.#nv;
    const view = this.#view;
    /** @type {import('./overlay.js').Outline[]} */
    const outlines = [];
    if (view?.outline && view.labels && this.#labels.shown) {
      const colors = new Map(this.#table.map((l) => [l.value, l.color]));
      outlines.push({ at: (v) => this.#labels.at(v), color: (v) => (this.#visible(v) > 0 ? colors.get(v) ?? null : null), dashed: false });
    }
    if (this.#reference) {
      const { at, table } = this.#reference;
      const known = new Set(table.map((l) => l.value));
      outlines.push({ at, color: (v) => (v > 0 && (!known.has(v) || this.#visible(v) > 0) ? '#ffffff' : null), dashed: true });
    }
    return {
      crosshair: view?.crosshair ?? true, dpr: nv.uiData.dpr, outlines, voxel: Array.from(nv.frac2vox(nv.scene.crosshairPos)).map(Number), dims: nv.volumes[0].dimsRAS.slice(1, 4),
    };
  }

  #write() {
    const { canvas } = this.#nv;
    const over = this.#over;
    if (over.width !== canvas.width) over.width = canvas.width;
    if (over.height !== canvas.height) over.height = canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (over.getContext('2d'));
    context.clearRect(0, 0, over.width, over.height);
    if (this.#nv.volumes.length > 0) drawOverlay(context, tilesOf(this.#nv), this.#overlayOptions());
  }
}
