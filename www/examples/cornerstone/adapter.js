// Cornerstone3D volumes in, labelmap segmentations out.
//
// Cornerstone keeps voxels with X contiguous and places them in DICOM's LPS space by origin, spacing and direction (the
// directions of the axes one after the other). The package wants Z contiguous and one affine to NIfTI's RAS space.
import { volumeLoader } from '@cornerstonejs/core';
import { Enums, segmentation } from '@cornerstonejs/tools';

/** A Cornerstone volume as a scan for `segmenter.segment`. */
export function toScan(volume) {
  const { dimensions: dims, spacing, origin, direction } = volume;
  const [nx, ny, nz] = dims;
  const source = volume.voxelManager.getCompleteScalarDataArray();
  const data = new Float32Array(source.length);
  for (let z = 0, at = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0; x < nx; x += 1, at += 1) data[(x * ny + y) * nz + z] = source[at];
    }
  }
  const row = (r, sign) => [...[0, 1, 2].map((a) => sign * direction[3 * a + r] * spacing[a]), sign * origin[r]];
  return { data, dims: [nx, ny, nz], affine: [row(0, -1), row(1, -1), row(2, 1), [0, 0, 0, 1]] };
}

/** Shows a result over the volume it was made of, in viewports that show that volume. Gives the segmentation's id. */
export function addLabels(result, volume, viewportIds) {
  const segmentationId = `unetr-${crypto.randomUUID()}`;
  const [nx, ny, nz] = result.dims;
  const scalarData = new Uint8Array(result.labels.length);
  for (let z = 0, at = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0; x < nx; x += 1, at += 1) scalarData[at] = result.labels[(x * ny + y) * nz + z];
    }
  }
  const { metadata, dimensions, spacing, origin, direction } = volume;
  volumeLoader.createLocalLabelmapVolume({ metadata, dimensions, spacing, origin, direction, scalarData }, segmentationId);
  const segments = Object.fromEntries(result.labelTable.map(({ value, name }) => [value, { label: name, active: value === 1 }]));
  segmentation.addSegmentations([{
    segmentationId,
    representation: { type: Enums.SegmentationRepresentations.Labelmap, data: { volumeId: segmentationId } },
    config: { segments },
  }]);
  for (const viewportId of viewportIds) {
    segmentation.addLabelmapRepresentationToViewport(viewportId, [{ segmentationId }]);
    for (const { value, color } of result.labelTable) {
      const rgb = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
      segmentation.config.color.setSegmentIndexColor(viewportId, segmentationId, value, [...rgb, 255]);
    }
  }
  return segmentationId;
}
