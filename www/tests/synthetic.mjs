// Scans that tests make: NIfTI files and DICOM series of a few voxels whose content is known, and forms of the sample.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/**
 * A NIfTI-1 file. `value(x, y, z, t)` gives the voxels, `type` is int16 or uint8.
 */
export function nifti(dims, value, { affine = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], type = 'int16' } = {}) {
  const [nx, ny, nz, nt = 1] = dims;
  const size = type === 'uint8' ? 1 : 2;
  const bytes = Buffer.alloc(352 + size * nx * ny * nz * nt);
  bytes.writeInt32LE(348, 0);
  [nt > 1 ? 4 : 3, nx, ny, nz, nt, 1, 1, 1].forEach((n, i) => bytes.writeInt16LE(n, 40 + 2 * i));
  bytes.writeInt16LE(type === 'uint8' ? 2 : 4, 70);
  bytes.writeInt16LE(8 * size, 72);
  [1, ...[0, 1, 2].map((a) => Math.hypot(...affine.map((r) => r[a])))].forEach((v, i) => bytes.writeFloatLE(v, 76 + 4 * i));
  bytes.writeFloatLE(352, 108);
  bytes.writeFloatLE(1, 112);
  bytes.writeInt16LE(1, 254);
  affine.flat().forEach((v, i) => bytes.writeFloatLE(v, 280 + 4 * i));
  bytes.write('n+1\0', 344, 'latin1');
  let at = 352;
  for (let t = 0; t < nt; t += 1) {
    for (let z = 0; z < nz; z += 1) {
      for (let y = 0; y < ny; y += 1) {
        for (let x = 0; x < nx; x += 1, at += size) {
          const v = Math.round(value(x, y, z, t));
          if (size === 1) bytes.writeUInt8(v, at);
          else bytes.writeInt16LE(v, at);
        }
      }
    }
  }
  return bytes;
}

/** Tissue-like noise around a level that differs from place to place. */
export const tissue = (x, y, z) => 300 + 150 * Math.sin(x / 5) * Math.cos(y / 7) + 60 * Math.sin(z / 3 + x) + ((x * 31 + y * 17 + z * 7) % 23);

/** A part of the hippocampus sample, which is 42 x 57 x 52 voxels of 1 mm along RAS: voxels as `value(x, y, z)`, its place, its size. */
export function part(start = [0, 0, 0], dims = [42, 57, 52]) {
  const bytes = gunzipSync(readFileSync(new URL('../../models/samples/hippocampus.nii.gz', import.meta.url)));
  const offset = bytes.readFloatLE(108);
  const value = (x, y, z) => bytes[offset + x + start[0] + 42 * (y + start[1] + 57 * (z + start[2]))];
  const affine = [280, 296, 312].map((row, a) => [...[0, 4, 8].map((at) => bytes.readFloatLE(row + at)), bytes.readFloatLE(row + 12) + start[a]]);
  return { value, affine, dims };
}

/** The sample with its axes to the back, down and to the left. */
export function turned() {
  const { value, affine: [x, y, z], dims: [nx, ny, nz] } = part();
  const affine = [[0, 0, -1, x[3] + nx - 1], [-1, 0, 0, y[3] + ny - 1], [0, -1, 0, z[3] + nz - 1]];
  return nifti([ny, nz, nx], (j, k, i) => value(nx - 1 - i, ny - 1 - j, nz - 1 - k), { affine });
}

/** The sample as a series, as `series` makes one: rows run to the back, columns to the left. */
export function sampleSeries(uid, description, dims = [42, 57, 52]) {
  const { value, dims: [nx, ny, nz] } = part([0, 0, 0], dims);
  return series({ uid, description, rows: ny, columns: nx, slices: nz, value: (x, y, z) => value(nx - 1 - x, ny - 1 - y, z) });
}

const LONG = new Set(['OB', 'OW', 'SQ', 'UN', 'UT']);

function element(group, number, vr, value) {
  const body = Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'latin1');
  const pad = body.length % 2 ? Buffer.from(vr === 'UI' || vr === 'OB' ? '\0' : ' ') : Buffer.alloc(0);
  const head = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, 'latin1');
  if (LONG.has(vr)) head.writeUInt32LE(body.length + pad.length, 8);
  else head.writeUInt16LE(body.length + pad.length, 6);
  return Buffer.concat([head, body, pad]);
}

const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16LE(n); return b; };

/** The files of a series of slices 1 mm apart, name -> bytes. `value(x, y, z)` gives the pixels. */
export function series({ uid, description, modality = 'MR', rows, columns, slices, value }) {
  const files = {};
  for (let z = 0; z < slices; z += 1) {
    const instance = `${uid}.${z + 1}`;
    const meta = Buffer.concat([
      element(2, 1, 'OB', Buffer.from([0, 1])), element(2, 2, 'UI', '1.2.840.10008.5.1.4.1.1.4'), element(2, 3, 'UI', instance),
      element(2, 0x10, 'UI', '1.2.840.10008.1.2.1'), element(2, 0x12, 'UI', '1.2.3.4'),
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(meta.length);
    const pixels = Buffer.alloc(2 * rows * columns);
    for (let y = 0; y < rows; y += 1) for (let x = 0; x < columns; x += 1) pixels.writeInt16LE(Math.round(value(x, y, z)), 2 * (x + columns * y));
    files[`${description.replaceAll(' ', '_')}_${z + 1}.dcm`] = Buffer.concat([
      Buffer.alloc(128), Buffer.from('DICM'), element(2, 0, 'UL', length), meta,
      element(8, 8, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'), element(8, 0x16, 'UI', '1.2.840.10008.5.1.4.1.1.4'), element(8, 0x18, 'UI', instance), element(8, 0x60, 'CS', modality),
      element(8, 0x103e, 'LO', description), element(0x18, 0x50, 'DS', 1), element(0x20, 0xd, 'UI', '1.2.3'), element(0x20, 0xe, 'UI', uid),
      element(0x20, 0x13, 'IS', z + 1), element(0x20, 0x32, 'DS', `0\\0\\${z}`), element(0x20, 0x37, 'DS', '1\\0\\0\\0\\1\\0'), element(0x20, 0x52, 'UI', '1.2.3.9'),
      element(0x28, 2, 'US', u16(1)), element(0x28, 4, 'CS', 'MONOCHROME2'), element(0x28, 0x10, 'US', u16(rows)), element(0x28, 0x11, 'US', u16(columns)),
      element(0x28, 0x30, 'DS', '1\\1'), element(0x28, 0x100, 'US', u16(16)), element(0x28, 0x101, 'US', u16(16)), element(0x28, 0x102, 'US', u16(15)),
      element(0x28, 0x103, 'US', u16(1)), element(0x7fe0, 0x10, 'OW', pixels),
    ]);
  }
  return files;
}
