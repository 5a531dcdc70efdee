// DICOM Segmentation objects of labels on a Cornerstone volume, by `@cornerstonejs/adapters`.
import { UnetrError } from './errors.js';
import { xContiguous } from './grid.js';
import { rgb } from './run.js';

/**
 * @import { SegmentationResult } from './result.js'
 * @import { Code, CodedLabel } from './run.js'
 */

/**
 * @typedef {object} SegOptions
 * @property {any} adapters `import * as adapters from '@cornerstonejs/adapters'`
 * @property {any} dcmjs `import dcmjs from 'dcmjs'`, the one of the adapters
 * @property {'labelmap' | 'binary'} [kind] Label Map Segmentation Storage (default), or a frame of bits for each segment and slice.
 * @property {string} [seriesDescription]
 * @property {number} [seriesNumber] Default 300.
 */

/** SOP classes. */
const KINDS = { binary: '1.2.840.10008.5.1.4.1.1.66.4', labelmap: '1.2.840.10008.5.1.4.1.1.66.7' };

/** All that can be said of a label whose package gives no codes. @type {{ category: Code, type: Code, modifier?: Code }} */
const UNKNOWN = {
  category: { scheme: 'SCT', value: '123037004', meaning: 'Anatomical Structure' },
  type: { scheme: 'SCT', value: '85756007', meaning: 'Tissue' },
};

/** @param {Code} code */
function concept({ scheme, value, meaning }) {
  return { CodeValue: value, CodingSchemeDesignator: scheme, CodeMeaning: meaning };
}

/**
 * @param {any} core
 * @param {any} volume
 * @param {SegmentationResult} result
 * @param {CodedLabel[]} table
 * @param {SegOptions} options
 * @returns {ArrayBuffer}
 */
export function dicomSeg({ cache, metaData }, volume, result, table, { adapters, dcmjs, kind = 'labelmap', seriesDescription, seriesNumber = 300 }) {
  const generate = adapters?.adaptersSEG?.Cornerstone3D?.Segmentation?.generateSegmentation;
  if (!generate || !dcmjs?.data) throw new UnetrError('bad-input', 'give { adapters, dcmjs }: the modules @cornerstonejs/adapters and dcmjs');
  if (!(kind in KINDS)) throw new UnetrError('bad-input', `options.kind is ${JSON.stringify(kind)}: it must be "labelmap" or "binary"`);
  const images = (volume.imageIds ?? []).map((/** @type {string} */ id) => cache.getImage(id));
  if (images.length !== result.dims[2] || images.some((/** @type {any} */ image) => !image)) {
    throw new UnetrError('bad-input', 'the volume has no image for each of its slices, so a DICOM SEG could not name its source: load it from DICOM');
  }
  const [columns, rows] = result.dims;
  const whole = xContiguous(result.labels, result.dims);
  const present = new Set();
  const labelmaps2D = images.map((/** @type {unknown} */ _image, /** @type {number} */ z) => {
    const pixelData = whole.slice(z * rows * columns, (z + 1) * rows * columns);
    const segmentsOnLabelmap = [...new Set(pixelData)].filter((value) => value !== 0);
    for (const value of segmentsOnLabelmap) present.add(value);
    return { segmentsOnLabelmap, pixelData, rows, columns };
  });
  if (present.size === 0) throw new UnetrError('bad-input', 'the result has no labelled voxel, and a DICOM SEG needs one');
  const { model = {}, tool } = /** @type {{ model?: { name?: string, version?: string }, tool?: { version?: string } }} */ (result.provenance);
  const algorithm = [model.name, model.version].filter(Boolean).join(' ') || 'UNETR';
  /** @type {any[]} */
  const metadata = [];
  for (const { value, name, color, codes = UNKNOWN } of table) {
    metadata[value] = {
      SegmentNumber: value,
      SegmentLabel: name.slice(0, 64),
      SegmentAlgorithmType: 'AUTOMATIC',
      SegmentAlgorithmName: algorithm.slice(0, 64),
      RecommendedDisplayCIELabValue: dcmjs.data.Colors.rgb2DICOMLAB(rgb(color).map((part) => part / 255)).map(Math.round),
      SegmentedPropertyCategoryCodeSequence: concept(codes.category),
      SegmentedPropertyTypeCodeSequence: { ...concept(codes.type), ...(codes.modifier && { SegmentedPropertyTypeModifierCodeSequence: concept(codes.modifier) }) },
    };
  }
  const labelmap = { metadata, labelmaps2D, segmentsOnLabelmap: [...present] };
  const { dataset } = generate(images, labelmap, metaData, { sopClassUID: KINDS[kind] });
  Object.assign(dataset, {
    SeriesDescription: (seriesDescription ?? `${algorithm} (research use only)`).slice(0, 64),
    SeriesNumber: seriesNumber,
    ContentLabel: 'SEGMENTATION',
    ContentDescription: 'Made by an algorithm; research use only',
    ContentCreatorName: 'unetr-wgpu',
    Manufacturer: 'unetr-wgpu',
    ManufacturerModelName: 'unetr-wgpu',
    SoftwareVersions: tool?.version ?? '',
  });
  return dcmjs.data.datasetToDict(dataset).write();
}
