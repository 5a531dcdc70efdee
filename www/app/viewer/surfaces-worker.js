// Makes a surface of each label, away from the page: {id, labels, dims, affine, values} -> {id, surfaces}.
import { surfaceOf } from './surfaces.js';

addEventListener('message', ({ data: { id, labels, dims, affine, values } }) => {
  const surfaces = [];
  const transfer = [];
  for (const value of values) {
    const made = surfaceOf(labels, dims, affine, value);
    if (!made) continue;
    surfaces.push({ value, ...made });
    transfer.push(made.points.buffer, made.triangles.buffer);
  }
  postMessage({ id, surfaces }, { transfer });
});
