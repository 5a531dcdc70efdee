// Where the views lie on the canvas: one large and three small, or one alone.
import { SLICE_TYPE } from '@niivue/niivue';

export const PLANES = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL, volume: SLICE_TYPE.RENDER };
const NAMES = /** @type {('axial' | 'coronal' | 'sagittal' | 'volume')[]} */ (['axial', 'coronal', 'sagittal', 'volume']);
/** Between tiles, as a part of the canvas. */
const GAP = 0.004;
/** The large tile's share of the longer side. */
const LARGE = 0.66;

/** @param {number} sliceType */
export function planeName(sliceType) {
  return NAMES.find((name) => PLANES[name] === sliceType) ?? 'axial';
}

/**
 * Tiles as parts of the canvas, the large one first.
 * @param {'axial' | 'coronal' | 'sagittal' | 'volume'} large
 * @param {boolean} landscape
 */
export function tiles(large, landscape) {
  const small = NAMES.filter((name) => name !== large);
  const third = (1 - 2 * GAP) / 3;
  const rest = 1 - LARGE - GAP;
  return [
    { sliceType: PLANES[large], position: landscape ? [0, 0, LARGE, 1] : [0, 0, 1, LARGE] },
    ...small.map((name, i) => ({
      sliceType: PLANES[name],
      position: landscape ? [LARGE + GAP, i * (third + GAP), rest, third] : [i * (third + GAP), LARGE + GAP, third, rest],
    })),
  ];
}
