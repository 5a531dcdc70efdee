// Compiled, never run: the declarations fit the way the package is used.
import { UnetrError, checkSupport, clearModels, createSegmenter, importCheckpoint, listModels, scanToNifti, selfTest } from '../pkg/index.js';
import type { LabelBox, Progress, SegmentationResult, Volume } from '../pkg/index.js';

export async function segment(file: File, signal: AbortSignal): Promise<Blob> {
  const support = await checkSupport();
  if (!support.webgpu) throw new Error(support.reason ?? '');
  const onProgress = ({ phase, fraction, etaMs }: Progress): void => console.log(phase, fraction, etaMs ?? 0);
  const { model, warnings } = await importCheckpoint(file, { package: { network: { num_heads: 12 } }, signal });
  console.log(model.size, warnings[0]);
  const segmenter = await createSegmenter({
    model: new URL('model.safetensors', location.href), precision: 'f16', cache: 'opfs', sha256: '0'.repeat(64), signal, onProgress, assetPath: '/unetr/',
  });
  const volume: Volume = {
    data: new Float32Array(8), dims: [2, 2, 2], affine: [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
  };
  try {
    const plan = await segmenter.plan(volume, { series: '1.2.3' });
    const { nifti, warnings: doubts } = await scanToNifti([file], { series: ['1.2.3'], signal });
    console.log(nifti.byteLength, doubts[0]);
    const onLabels = ({ begin, extent, labels }: LabelBox): void => console.log(begin[0], extent[0], labels.length);
    const result: SegmentationResult = await segmenter.segment([file], { overlap: 0.5, signal, onProgress, onLabels });
    const amended = await segmenter.amend([file], result.labels, { corrected: false, signal });
    console.log(amended.statisticsCsv(), amended.statistics[0]?.voxels);
    const { labels: [row] } = await segmenter.compare(result, file);
    console.log(row?.dice ?? Number.NaN, plan.estimatedMs ?? 0);
    console.log(plan.windows, plan.memory.total, result.labels.length, result.statistics[0]?.volume_ml, result.labelTable[0]?.color);
    const told = await segmenter.segment(file, { uncertainty: true });
    console.log(told.uncertainty?.[0] ?? 0, told.statistics[0]?.uncertainty ?? 0, told.uncertaintyToNifti()?.length ?? 0);
    return new Blob([result.toNifti()]);
  } catch (error) {
    if (error instanceof UnetrError && error.code === 'aborted') return new Blob();
    if (error instanceof UnetrError) console.log(error.fields?.[0]?.hint);
    throw error;
  } finally {
    segmenter.dispose();
    await clearModels((await listModels())[0]?.url);
    await selfTest({ signal });
  }
}
