import { MULTIPLANAR_TYPE, NVImage, Niivue, SHOW_RENDER, SLICE_TYPE } from '@niivue/niivue';

const LAYOUTS = {
  all: SLICE_TYPE.MULTIPLANAR, axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL, volume: SLICE_TYPE.RENDER,
};
const STEPS = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowDown: [0, -1, 0], ArrowUp: [0, 1, 0], PageDown: [0, 0, -1], PageUp: [0, 0, 1],
};
/** Between two drawings of a result that grows. */
const PAUSE_MS = 300;

/** The scan in three planes and as a volume, with the labels over it. */
export class Viewer {
  #nv;
  #labels = null;
  #table = [];
  #opacity = 0.6;
  #shown = true;
  #timer = null;
  /** Count what was to be shown: what is slow to read does not take the place of something later. */
  #scans = 0;
  #overlays = 0;

  static async create(canvas, onLocation) {
    const viewer = new Viewer();
    viewer.#nv = new Niivue({
      backColor: [0, 0, 0, 1],
      show3Dcrosshair: true,
      crosshairColor: [0.5, 0.7, 1, 0.7],
      crosshairWidth: 0.4,
      crosshairWidthUnit: 'percent',
      dragAndDropEnabled: false,
      isColorbar: false,
      isRadiologicalConvention: false,
      multiplanarShowRender: SHOW_RENDER.ALWAYS,
      multiplanarLayout: MULTIPLANAR_TYPE.GRID,
      logLevel: 'error',
      onLocationChange: ({ mm, values }) => onLocation(Array.from(mm).slice(0, 3), values.map((v) => v.value)),
    });
    // Its own letters would do other things than the page's at the same time.
    viewer.#nv.keyDownListener = () => {};
    viewer.#nv.keyUpListener = () => {};
    await viewer.#nv.attachToCanvas(canvas);
    viewer.layout('all');
    canvas.addEventListener('keydown', (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      viewer.#nv.moveCrosshairInVox(...step);
    });
    return viewer;
  }

  layout(name) {
    this.#nv.setSliceType(LAYOUTS[name]);
  }

  async showScan(files) {
    const [first, second] = files;
    const pair = /\.img(\.gz)?$/i.test(second?.name ?? '') ? { urlImgData: second } : {};
    this.#scans += 1;
    const turn = this.#scans;
    const image = await NVImage.loadFromFile({ file: first, name: first.name, ...pair });
    if (turn !== this.#scans) return;
    this.clearLabels();
    while (this.#nv.volumes.length > 0) this.#nv.removeVolume(this.#nv.volumes[0]);
    this.#nv.addVolume(image);
  }

  async showLabels(bytes, table) {
    this.#overlays += 1;
    const turn = this.#overlays;
    const file = new File([bytes], 'labels.nii.gz');
    const image = await NVImage.loadFromFile({ file, name: file.name, opacity: this.#shown ? this.#opacity : 0 });
    if (turn !== this.#overlays) return;
    this.clearLabels();
    this.#labels = image;
    this.#table = table;
    image.setColormapLabel(colormap(table, null));
    this.#nv.addVolume(image);
  }

  /** An empty result, to be filled by `addLabels`. */
  async beginLabels({ scanDims, scanAffine }, table) {
    await this.showLabels(emptyNifti(scanDims, scanAffine), table);
  }

  addLabels({ begin: [bx, by, bz], extent: [ex, ey, ez], labels }) {
    if (!this.#labels) return;
    const { img, hdr: { dims } } = this.#labels;
    const [, nx, ny] = dims;
    // Z is contiguous in a part, X in the file.
    for (let x = 0, at = 0; x < ex; x += 1) {
      for (let y = 0; y < ey; y += 1) {
        for (let z = 0; z < ez; z += 1, at += 1) img[bx + x + nx * (by + y + ny * (bz + z))] = labels[at];
      }
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#labels) this.#nv.updateGLVolume();
    }, PAUSE_MS);
  }

  clearLabels() {
    this.#overlays += 1;
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#labels) this.#nv.removeVolume(this.#labels);
    this.#labels = null;
  }

  set opacity(value) {
    this.#opacity = value;
    this.#shown = true;
    this.#apply();
  }

  toggle() {
    this.#shown = !this.#shown;
    this.#apply();
  }

  #apply() {
    const at = this.#nv.volumes.indexOf(this.#labels);
    if (at >= 0) this.#nv.setOpacity(at, this.#shown ? this.#opacity : 0);
  }

  /** Shows one label alone, or all for null. */
  isolate(value) {
    if (!this.#labels) return;
    this.#labels.setColormapLabel(colormap(this.#table, value));
    this.#nv.updateGLVolume();
  }

  /** Moves the crosshair to a point in mm. */
  goTo(mm) {
    this.#nv.scene.crosshairPos = this.#nv.mm2frac(mm);
    this.#nv.drawScene();
    this.#nv.createOnLocationChange();
  }

  picture() {
    this.#nv.drawScene();
    return new Promise((resolve) => { this.#nv.canvas.toBlob(resolve, 'image/png'); });
  }
}

function colormap(table, only) {
  const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ['background'] };
  for (const { value, name, color } of table) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    map.R.push(r);
    map.G.push(g);
    map.B.push(b);
    map.A.push(only === null || only === value ? 255 : 0);
    map.I.push(value);
    map.labels.push(name);
  }
  return map;
}

/** A NIfTI-1 file of zero bytes on this grid. */
function emptyNifti(dims, affine) {
  const header = 352;
  const bytes = new Uint8Array(header + dims[0] * dims[1] * dims[2]);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  [3, ...dims, 1, 1, 1, 1].forEach((n, i) => view.setInt16(40 + 2 * i, n, true));
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  const size = [0, 1, 2].map((a) => Math.hypot(affine[0][a], affine[1][a], affine[2][a]));
  [1, ...size].forEach((v, i) => view.setFloat32(76 + 4 * i, v, true));
  view.setFloat32(108, header, true);
  view.setFloat32(112, 1, true);
  view.setInt16(254, 1, true);
  affine.slice(0, 3).flat().forEach((v, i) => view.setFloat32(280 + 4 * i, v, true));
  bytes.set(new TextEncoder().encode('n+1\0'), 344);
  return bytes;
}
