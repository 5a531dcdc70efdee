// Surfaces as files: STL for printing and Slicer, GLB for everything that shows 3-D scenes.
import { rgb } from '../format.js';

/**
 * @typedef {import('./surfaces.js').Surface & {value: number}} LabelSurface
 * @typedef {{value: number, name: string, color: string}} Named
 */

/** @param {Float32Array} p @param {number} a @param {number} b @param {number} c @returns {[number, number, number]} */
function cross(p, a, b, c) {
  const [ux, uy, uz] = [p[b] - p[a], p[b + 1] - p[a + 1], p[b + 2] - p[a + 2]];
  const [vx, vy, vz] = [p[c] - p[a], p[c + 1] - p[a + 1], p[c + 2] - p[a + 2]];
  return [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
}

/**
 * All surfaces in one binary STL file, in mm. Its coordinates are RAS, which the header says as 3D Slicer reads it.
 * @param {LabelSurface[]} surfaces
 */
export function stl(surfaces) {
  const count = surfaces.reduce((n, s) => n + s.triangles.length / 3, 0);
  const bytes = new Uint8Array(84 + 50 * count);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode('unetr-wgpu; SPACE=RAS; mm; research use only'));
  view.setUint32(80, count, true);
  let at = 84;
  for (const { points, triangles } of surfaces) {
    for (let t = 0; t < triangles.length; t += 3) {
      const corners = [0, 1, 2].map((k) => 3 * triangles[t + k]);
      const normal = cross(points, corners[0], corners[1], corners[2]);
      const length = Math.hypot(...normal) || 1;
      for (let r = 0; r < 3; r += 1) view.setFloat32(at + 4 * r, normal[r] / length, true);
      for (const [k, c] of corners.entries()) for (let r = 0; r < 3; r += 1) view.setFloat32(at + 12 + 12 * k + 4 * r, points[c + r], true);
      at += 50;
    }
  }
  return bytes;
}

/** RAS in mm to glTF: metres, Y up to the head, Z to the patient's front. Column by column. */
const TO_GLTF = [-0.001, 0, 0, 0, 0, 0, 0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1];

/** @param {Float32Array} points @param {Uint32Array} triangles */
function normals(points, triangles) {
  const sum = new Float32Array(points.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const corners = [0, 1, 2].map((k) => 3 * triangles[t + k]);
    const normal = cross(points, corners[0], corners[1], corners[2]);
    for (const c of corners) for (let r = 0; r < 3; r += 1) sum[c + r] += normal[r];
  }
  for (let i = 0; i < sum.length; i += 3) {
    const length = Math.hypot(sum[i], sum[i + 1], sum[i + 2]) || 1;
    for (let r = 0; r < 3; r += 1) sum[i + r] /= length;
  }
  return sum;
}

/** @param {number} v a channel of sRGB, 0 to 255 */
const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);

/**
 * A glTF 2.0 scene in one file: a mesh with its name and colour for each label.
 * @param {LabelSurface[]} surfaces
 * @param {Named[]} table
 */
export function glb(surfaces, table) {
  /** @type {ArrayBufferView[]} */
  const parts = [];
  /** @type {Record<string, any>} */
  const doc = {
    asset: { version: '2.0', generator: 'unetr-wgpu', extras: { notice: 'Research use only. Not a medical device.' } },
    scene: 0, scenes: [{ nodes: [0] }],
    nodes: [{ name: 'RAS in mm', matrix: TO_GLTF, children: surfaces.map((_, i) => i + 1) }],
    meshes: [], materials: [], accessors: [], bufferViews: [],
  };
  let offset = 0;
  /** @param {Float32Array | Uint32Array} data @param {number} target @param {Record<string, unknown>} accessor */
  const put = (data, target, accessor) => {
    doc.bufferViews.push({ buffer: 0, byteOffset: offset, byteLength: data.byteLength, target });
    parts.push(data);
    offset += data.byteLength;
    return doc.accessors.push({ bufferView: doc.bufferViews.length - 1, ...accessor }) - 1;
  };
  for (const [i, { value, points, triangles }] of surfaces.entries()) {
    const { name, color } = table.find((l) => l.value === value) ?? { name: `label ${value}`, color: '#cccccc' };
    const count = points.length / 3;
    const [min, max] = [[0, 1, 2].map(() => Infinity), [0, 1, 2].map(() => -Infinity)];
    for (let p = 0; p < points.length; p += 1) {
      min[p % 3] = Math.min(min[p % 3], points[p]);
      max[p % 3] = Math.max(max[p % 3], points[p]);
    }
    const position = put(points, 34962, { componentType: 5126, count, type: 'VEC3', min, max });
    const normal = put(normals(points, triangles), 34962, { componentType: 5126, count, type: 'VEC3' });
    const indices = put(triangles, 34963, { componentType: 5125, count: triangles.length, type: 'SCALAR' });
    doc.materials.push({ name, pbrMetallicRoughness: { baseColorFactor: [...rgb(color).map(linear), 1], metallicFactor: 0, roughnessFactor: 0.6 } });
    doc.meshes.push({ name, primitives: [{ attributes: { POSITION: position, NORMAL: normal }, indices, material: i }] });
    doc.nodes.push({ name, mesh: i });
  }
  if (surfaces.length > 0) doc.buffers = [{ byteLength: offset }];
  const json = new TextEncoder().encode(JSON.stringify(doc));
  const padded = Math.ceil(json.length / 4) * 4;
  const bytes = new Uint8Array(28 + padded + offset).fill(0x20, 20, 20 + padded);
  const view = new DataView(bytes.buffer);
  [0x46546c67, 2, bytes.length, padded, 0x4e4f534a].forEach((n, i) => view.setUint32(4 * i, n, true));
  bytes.set(json, 20);
  view.setUint32(20 + padded, offset, true);
  view.setUint32(24 + padded, 0x004e4942, true);
  let at = 28 + padded;
  for (const part of parts) {
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
    at += part.byteLength;
  }
  return bytes;
}
