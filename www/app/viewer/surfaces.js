// Surfaces of labels: naive surface nets (one point for each cell that the border passes, S. Gibson 1998) smoothed without
// shrinking (G. Taubin 1995), in mm.

/** Rounds of smoothing, and its two steps. */
const ROUNDS = 12;
const [INWARD, OUTWARD] = [0.5, -0.53];
/** A label with a larger box is taken at every second voxel. */
const MOST_CELLS = 40e6;

/** @typedef {{points: Float32Array<ArrayBuffer>, triangles: Uint32Array<ArrayBuffer>}} Surface */

/**
 * The surface of one label, its triangles counterclockwise from outside; null where there is none.
 * @param {Uint8Array} labels `(X, Y, Z)`, Z contiguous
 * @param {[number, number, number]} dims
 * @param {number[][]} affine voxel index to mm
 * @param {number} value
 * @returns {Surface | null}
 */
export function surfaceOf(labels, dims, affine, value) {
  const box = boxOf(labels, dims, value);
  if (!box) return null;
  const cells = box.max.reduce((n, m, a) => n * (m - box.min[a] + 2), 1);
  const step = cells > MOST_CELLS ? 2 : 1;
  const size = box.max.map((m, a) => Math.floor((m - box.min[a]) / step) + 1);
  /** Whether a voxel of the box has the label; outside nothing has. @param {number} x @param {number} y @param {number} z */
  const inside = (x, y, z) => x >= 0 && y >= 0 && z >= 0 && x < size[0] && y < size[1] && z < size[2]
    && labels[((box.min[0] + x * step) * dims[1] + box.min[1] + y * step) * dims[2] + box.min[2] + z * step] === value;
  const { points, quads } = net(inside, size);
  smooth(points, quads);
  for (let i = 0; i < points.length; i += 3) {
    const at = [0, 1, 2].map((a) => box.min[a] + points[i + a] * step);
    for (let r = 0; r < 3; r += 1) points[i + r] = affine[r][0] * at[0] + affine[r][1] * at[1] + affine[r][2] * at[2] + affine[r][3];
  }
  const [[a, b, c], [d, e, f], [g, h, i]] = affine;
  const mirrored = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) < 0;
  return { points, triangles: split(quads, mirrored) };
}

/** @param {Uint8Array} labels @param {[number, number, number]} dims @param {number} value */
function boxOf(labels, [nx, ny, nz], value) {
  const min = [nx, ny, nz];
  const max = [-1, -1, -1];
  for (let x = 0, at = 0; x < nx; x += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let z = 0; z < nz; z += 1, at += 1) {
        if (labels[at] !== value) continue;
        if (x < min[0]) min[0] = x;
        if (x > max[0]) max[0] = x;
        if (y < min[1]) min[1] = y;
        if (y > max[1]) max[1] = y;
        if (z < min[2]) min[2] = z;
        if (z > max[2]) max[2] = z;
      }
    }
  }
  return max[0] < 0 ? null : { min, max };
}

/**
 * Cell (x, y, z) has the voxels x - 1 to x, y - 1 to y, z - 1 to z as its corners.
 * @param {(x: number, y: number, z: number) => boolean} inside
 * @param {number[]} size
 */
function net(inside, [nx, ny, nz]) {
  const [cx, cy, cz] = [nx + 1, ny + 1, nz + 1];
  const index = new Int32Array(cx * cy * cz).fill(-1);
  /** @type {number[]} */
  const places = [];
  const corners = Array.from({ length: 8 }, (_, k) => [(k >> 2) & 1, (k >> 1) & 1, k & 1]);
  const edges = corners.flatMap((_, k) => [4, 2, 1].filter((bit) => !(k & bit)).map((bit) => [k, k | bit]));
  for (let x = 0, at = 0; x < cx; x += 1) {
    for (let y = 0; y < cy; y += 1) {
      for (let z = 0; z < cz; z += 1, at += 1) {
        let mask = 0;
        for (let k = 0; k < 8; k += 1) if (inside(x - 1 + corners[k][0], y - 1 + corners[k][1], z - 1 + corners[k][2])) mask |= 1 << k;
        if (mask === 0 || mask === 255) continue;
        let n = 0;
        const sum = [0, 0, 0];
        for (const [i, j] of edges) {
          if (((mask >> i) & 1) === ((mask >> j) & 1)) continue;
          n += 1;
          for (let a = 0; a < 3; a += 1) sum[a] += (corners[i][a] + corners[j][a]) / 2;
        }
        index[at] = places.length / 3;
        places.push(x - 1 + sum[0] / n, y - 1 + sum[1] / n, z - 1 + sum[2] / n);
      }
    }
  }
  /** @type {number[]} */
  const quads = [];
  const strides = [cy * cz, cz, 1];
  for (let x = 0; x < cx; x += 1) {
    for (let y = 0; y < cy; y += 1) {
      for (let z = 0; z < cz; z += 1) {
        // The voxel below this cell's far corner, and its next one along each axis.
        const here = inside(x - 1, y - 1, z - 1);
        const cell = (x * cy + y) * cz + z;
        for (let axis = 0; axis < 3; axis += 1) {
          const next = inside(x - 1 + Number(axis === 0), y - 1 + Number(axis === 1), z - 1 + Number(axis === 2));
          if (here === next) continue;
          // The four cells around the edge between the two.
          const [u, v] = [strides[(axis + 1) % 3], strides[(axis + 2) % 3]];
          const around = [cell, cell - u, cell - u - v, cell - v].map((c) => index[c]);
          if (here) quads.push(around[0], around[1], around[2], around[3]);
          else quads.push(around[3], around[2], around[1], around[0]);
        }
      }
    }
  }
  return { points: Float32Array.from(places), quads: Uint32Array.from(quads) };
}

/** @param {Float32Array} points @param {Uint32Array} quads */
function smooth(points, quads) {
  const count = points.length / 3;
  const degree = new Uint32Array(count);
  for (let q = 0; q < quads.length; q += 4) for (let k = 0; k < 4; k += 1) degree[quads[q + k]] += 2;
  const sum = new Float32Array(points.length);
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    const share = round % 2 ? OUTWARD : INWARD;
    sum.fill(0);
    for (let q = 0; q < quads.length; q += 4) {
      for (let k = 0; k < 4; k += 1) {
        const a = 3 * quads[q + k];
        const b = 3 * quads[q + ((k + 1) % 4)];
        for (let r = 0; r < 3; r += 1) {
          sum[a + r] += points[b + r];
          sum[b + r] += points[a + r];
        }
      }
    }
    for (let i = 0; i < count; i += 1) {
      if (degree[i] === 0) continue;
      for (let r = 0; r < 3; r += 1) points[3 * i + r] += share * (sum[3 * i + r] / degree[i] - points[3 * i + r]);
    }
  }
}

/** @param {Uint32Array} quads @param {boolean} mirrored */
function split(quads, mirrored) {
  const triangles = new Uint32Array(1.5 * quads.length);
  for (let q = 0, at = 0; q < quads.length; q += 4) {
    const [a, b, c, d] = quads.subarray(q, q + 4);
    for (const [i, j, k] of [[a, b, c], [a, c, d]]) {
      triangles[at++] = i;
      triangles[at++] = mirrored ? k : j;
      triangles[at++] = mirrored ? j : k;
    }
  }
  return triangles;
}
