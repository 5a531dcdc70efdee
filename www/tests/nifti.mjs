// As much of NIfTI-1 as a test needs to look into a file that was written: little-endian bytes in, plain numbers out.
import { gunzipSync } from 'node:zlib';

/** A file of labels, in bytes. */
export function labels(file) {
  return read(file, 2, (bytes, offset, count) => bytes.subarray(offset, offset + count));
}

/** A file of numbers in 32 bits. */
export function floats(file) {
  return read(file, 16, (bytes, offset, count) => Float32Array.from({ length: count }, (_, i) => bytes.readFloatLE(offset + 4 * i)));
}

function read(file, type, voxels) {
  const bytes = file[0] === 0x1f ? gunzipSync(file) : Buffer.from(file);
  const dims = [42, 44, 46].map((at) => bytes.readInt16LE(at));
  const datatype = bytes.readInt16LE(70);
  if (bytes.readInt32LE(0) !== 348 || datatype !== type) throw new Error(`a header of ${bytes.readInt32LE(0)}, type ${datatype}`);
  const offset = bytes.readFloatLE(108);
  const affine = [280, 296, 312].map((row) => [0, 4, 8, 12].map((at) => bytes.readFloatLE(row + at)));
  return { dims, affine, data: voxels(bytes, offset, dims[0] * dims[1] * dims[2]), extensions: bytes.subarray(348, offset) };
}

/** `(X, Y, Z)` with Z contiguous, from a file's order with X contiguous. */
export function zContiguous({ dims: [nx, ny, nz], data }) {
  const out = new (data instanceof Float32Array ? Float32Array : Uint8Array)(data.length);
  for (let z = 0, at = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0; x < nx; x += 1, at += 1) out[(x * ny + y) * nz + z] = data[at];
    }
  }
  return out;
}
