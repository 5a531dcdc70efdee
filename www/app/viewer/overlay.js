// What lies over the views: letters of the patient's sides, a thin crosshair with a gap, and a bar of a known length.
// Drawn into a 2-D canvas, on the page and in saved pictures alike, from where the viewer says its tiles are.
import { SLICE_TYPE } from '@niivue/niivue';

/** The ends of the patient's axes, X Y Z of RAS. */
const ENDS = [['L', 'R'], ['P', 'A'], ['I', 'S']];
/** Which axes run across and up. @type {Record<number, [number, number]>} */
const AXES = { [SLICE_TYPE.AXIAL]: [0, 1], [SLICE_TYPE.CORONAL]: [0, 2], [SLICE_TYPE.SAGITTAL]: [1, 2] };
/** @type {Record<number, string>} */
const NAMES = { [SLICE_TYPE.AXIAL]: 'Axial', [SLICE_TYPE.CORONAL]: 'Coronal', [SLICE_TYPE.SAGITTAL]: 'Sagittal', [SLICE_TYPE.RENDER]: '3-D' };
const LINE = 'rgb(120 180 255 / 0.8)';

/**
 * @typedef {object} Tile
 * @property {number} sliceType
 * @property {[number, number, number, number]} box left, top, width, height in pixels of the canvas
 * @property {[number, number]} [axes] the axes of the viewer's grid that run across and down
 * @property {(axis: number, part: number) => number} [toScreen] pixel of a place along one of these axes, 0 to 1
 * @property {[number, number]} [cross] where the crosshair is
 * @property {[string, string, string, string]} [letters] left, top, right, bottom
 * @property {number} [pixelsPerMm]
 */

/**
 * The tiles that are drawn now, with what is needed to write over them.
 * @param {any} nv
 * @returns {Tile[]}
 */
export function tilesOf(nv) {
  if (nv.volumes.length === 0) return [];
  const { dimsRAS, pixDimsRAS } = nv.volumes[0];
  return nv.screenSlices.map((/** @type {any} */ slice, /** @type {number} */ i) => {
    const [given, top, extent, height] = slice.leftTopWidthHeight;
    // A view that is mirrored has a negative width.
    const [left, width] = extent < 0 ? [given + extent, -extent] : [given, extent];
    /** @type {[number, number, number, number]} */
    const box = [left, top, width, height];
    const axes = AXES[slice.axCorSag];
    if (!axes) return { sliceType: SLICE_TYPE.RENDER, box };
    const [u, v] = axes;
    // Two places well inside tell the scale: at the very edge rounding may fall outside.
    const near = nv.screenXY2TextureFrac(left + 0.25 * width, top + 0.25 * height, i, false);
    const far = nv.screenXY2TextureFrac(left + 0.75 * width, top + 0.75 * height, i, false);
    const first = [0, 1, 2].map((a) => near[a] - (far[a] - near[a]) / 2);
    const last = [0, 1, 2].map((a) => far[a] + (far[a] - near[a]) / 2);
    const at = nv.scene.crosshairPos;
    /** @param {number} axis @param {number} part */
    const toScreen = (axis, part) => {
      const share = (part - first[axis]) / (last[axis] - first[axis]);
      return axis === u ? left + share * width : top + share * height;
    };
    const rightward = last[u] > first[u] ? 1 : 0;
    const downward = last[v] > first[v] ? 1 : 0;
    return {
      sliceType: slice.axCorSag,
      box,
      axes,
      toScreen,
      cross: [toScreen(u, at[u]), toScreen(v, at[v])],
      letters: [ENDS[u][1 - rightward], ENDS[v][1 - downward], ENDS[u][rightward], ENDS[v][downward]],
      pixelsPerMm: width / (Math.abs(last[u] - first[u]) * dimsRAS[u + 1] * pixDimsRAS[u + 1]),
    };
  });
}

/**
 * @typedef {object} Outline Labels whose borders are drawn.
 * @property {(voxel: [number, number, number]) => number} at the label of a voxel of the viewer's grid
 * @property {(value: number) => string | null} color null for labels that are not drawn
 * @property {boolean} dashed
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Tile[]} tiles
 * @param {{crosshair: boolean, dpr: number, outlines?: Outline[], voxel?: number[], dims?: number[]}} options
 */
export function drawOverlay(context, tiles, { crosshair, dpr, outlines = [], voxel = [], dims = [] }) {
  context.save();
  context.textBaseline = 'middle';
  for (const tile of tiles) {
    const [left, top, width, height] = tile.box;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    for (const outline of outlines) borders(context, tile, outline, voxel, dims, dpr);
    if (crosshair && tile.cross) cross(context, tile, dpr);
    const small = width < 220 * dpr;
    context.font = `600 ${(small ? 11 : 13) * dpr}px system-ui, sans-serif`;
    context.strokeStyle = '#000';
    context.lineWidth = 3 * dpr;
    context.lineJoin = 'round';
    context.fillStyle = '#ffe28a';
    const pad = (small ? 9 : 12) * dpr;
    context.textAlign = 'center';
    const [l, t, r, b] = tile.letters ?? ['', '', '', ''];
    text(context, l, left + pad, top + height / 2);
    text(context, r, left + width - pad, top + height / 2);
    text(context, t, left + width / 2, top + pad);
    text(context, b, left + width / 2, top + height - pad);
    context.fillStyle = '#e6ebf2';
    context.textAlign = 'left';
    context.font = `${(small ? 10 : 12) * dpr}px system-ui, sans-serif`;
    text(context, NAMES[tile.sliceType], left + 6 * dpr, top + pad);
    if (tile.pixelsPerMm) bar(context, tile, dpr);
    context.restore();
  }
  context.restore();
}

/**
 * The borders of labels in the slice that is shown, along the sides of voxels.
 * @param {CanvasRenderingContext2D} context
 * @param {Tile} tile
 * @param {Outline} outline
 * @param {number[]} voxel that the crosshair is in
 * @param {number[]} dims of the viewer's grid
 * @param {number} dpr
 */
function borders(context, { axes, toScreen }, { at, color, dashed }, voxel, dims, dpr) {
  if (!axes || !toScreen) return;
  const [u, v] = axes;
  /** @type {Map<string, Path2D>} */
  const paths = new Map();
  /** @type {[number, number, number]} */
  const here = [voxel[0], voxel[1], voxel[2]];
  /** @param {number} i @param {number} j */
  const value = (i, j) => {
    if (i < 0 || j < 0 || i >= dims[u] || j >= dims[v]) return 0;
    here[u] = i;
    here[v] = j;
    return at(here);
  };
  /** @param {number} a @param {number} b @param {number} i0 @param {number} j0 @param {number} i1 @param {number} j1 */
  const side = (a, b, i0, j0, i1, j1) => {
    if (a === b) return;
    const stroke = color(a) ?? color(b);
    if (stroke === null) return;
    let path = paths.get(stroke);
    if (!path) paths.set(stroke, path = new Path2D());
    path.moveTo(toScreen(u, i0 / dims[u]), toScreen(v, j0 / dims[v]));
    path.lineTo(toScreen(u, i1 / dims[u]), toScreen(v, j1 / dims[v]));
  };
  for (let j = -1; j < dims[v]; j += 1) {
    let a = value(-1, j);
    for (let i = -1; i < dims[u]; i += 1) {
      const right = value(i + 1, j);
      side(a, right, i + 1, j, i + 1, j + 1);
      side(a, value(i, j + 1), i, j + 1, i + 1, j + 1);
      a = right;
    }
  }
  context.save();
  context.lineWidth = 1.6 * dpr;
  context.lineCap = 'round';
  if (dashed) context.setLineDash([3 * dpr, 3 * dpr]);
  for (const [stroke, path] of paths) {
    context.strokeStyle = stroke;
    context.stroke(path);
  }
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {Tile} tile @param {number} dpr */
function cross(context, { box: [left, top, width, height], cross: at }, dpr) {
  const [x, y] = /** @type {[number, number]} */ (at).map((v) => Math.round(v) + 0.5);
  const gap = 9 * dpr;
  context.strokeStyle = LINE;
  context.lineWidth = Math.max(1, Math.round(dpr));
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [left, y, x - gap, y], [x + gap, y, left + width, y], [x, top, x, y - gap], [x, y + gap, x, top + height],
  ]) {
    // Where the gap reaches over the edge there is no line.
    if (x1 < x0 || y1 < y0) continue;
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.stroke();
}

/** With an edge, so that it is read over white as over black. @param {CanvasRenderingContext2D} context @param {string} words @param {number} x @param {number} y */
function text(context, words, x, y) {
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
}

/** A bar of 1, 2 or 5 times a power of ten mm, at most a quarter of the tile. @param {CanvasRenderingContext2D} context @param {Tile} tile @param {number} dpr */
function bar(context, { box: [left, top, width, height], pixelsPerMm = 1 }, dpr) {
  const most = (0.25 * width) / pixelsPerMm;
  const power = 10 ** Math.floor(Math.log10(most));
  const mm = [5, 2, 1].map((n) => n * power).find((n) => n <= most) ?? power;
  const length = mm * pixelsPerMm;
  const [x, y] = [left + 8 * dpr, top + height - 8 * dpr];
  context.beginPath();
  context.moveTo(x, y - 4 * dpr);
  context.lineTo(x, y);
  context.lineTo(x + length, y);
  context.lineTo(x + length, y - 4 * dpr);
  for (const [color, line] of /** @type {[string, number][]} */ ([['#000', 3.5], ['#e6ebf2', 1.5]])) {
    context.strokeStyle = color;
    context.lineWidth = Math.max(1, Math.round(line * dpr));
    context.stroke();
  }
  context.strokeStyle = '#000';
  context.lineWidth = 3 * dpr;
  // In a small view the letter of the patient's side would lie beside it.
  const beside = width >= 220 * dpr;
  text(context, mm >= 10 && mm % 10 === 0 ? `${mm / 10} cm` : `${mm} mm`, beside ? x + length + 5 * dpr : x + 3 * dpr, y - (beside ? 3 : 9) * dpr);
}
