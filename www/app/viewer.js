import { NVImage, Niivue, SLICE_TYPE } from '@niivue/niivue';

/** The scan in three planes and as a volume, with the labels over it. */
export class Viewer {
  #nv;
  #labels = null;
  #table = [];
  #opacity = 0.6;
  #shown = true;

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
      logLevel: 'error',
      onLocationChange: ({ mm, values }) => onLocation(Array.from(mm).slice(0, 3), values.map((v) => v.value)),
    });
    await viewer.#nv.attachToCanvas(canvas);
    viewer.#nv.setSliceType(SLICE_TYPE.MULTIPLANAR);
    return viewer;
  }

  async showScan(files) {
    const [first, second] = files;
    const pair = /\.img(\.gz)?$/i.test(second?.name ?? '') ? { urlImgData: second } : {};
    const image = await NVImage.loadFromFile({ file: first, name: first.name, ...pair });
    while (this.#nv.volumes.length > 0) this.#nv.removeVolume(this.#nv.volumes[0]);
    this.#labels = null;
    this.#nv.addVolume(image);
  }

  async showLabels(bytes, table) {
    const file = new File([bytes], 'labels.nii.gz');
    const image = await NVImage.loadFromFile({ file, name: file.name, opacity: this.#opacity });
    if (this.#labels) this.#nv.removeVolume(this.#labels);
    this.#labels = image;
    this.#table = table;
    this.#shown = true;
    image.setColormapLabel(colormap(table, null));
    this.#nv.addVolume(image);
  }

  clearLabels() {
    if (this.#labels) this.#nv.removeVolume(this.#labels);
    this.#labels = null;
  }

  set opacity(value) {
    this.#opacity = value;
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
    return new Promise((resolve) => this.#nv.canvas.toBlob(resolve, 'image/png'));
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
