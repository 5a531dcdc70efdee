// As much of NIfTI as the page itself needs: whether a file holds labels, and single frames of a series in time.

/** @type {Record<number, [string, number]>} datatype -> array and bytes */
const TYPES = {
  2: ['Uint8', 1], 4: ['Int16', 2], 8: ['Int32', 4], 16: ['Float32', 4], 64: ['Float64', 8], 256: ['Int8', 1], 512: ['Uint16', 2], 768: ['Uint32', 4],
};

/**
 * @typedef {object} Header
 * @property {number[]} dims the seven numbers behind the number of dimensions, 1 where there is none
 * @property {number} datatype
 * @property {number} bytes of a voxel
 * @property {number} offset of the first voxel
 * @property {boolean} little
 * @property {number} intent
 */

/** @param {Blob} file */
async function stream(file) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const packed = start[0] === 0x1f && start[1] === 0x8b;
  return packed ? file.stream().pipeThrough(new DecompressionStream('gzip')) : file.stream();
}

/**
 * The bytes of a file, unpacked, that lie in these ranges; no more of it is kept in memory.
 * @param {Blob} file
 * @param {[number, number][]} ranges
 */
async function ranges(file, ranges) {
  const out = ranges.map(([from, to]) => new Uint8Array(to - from));
  const end = Math.max(...ranges.map(([, to]) => to));
  const reader = (await stream(file)).getReader();
  let at = 0;
  try {
    while (at < end) {
      const { done, value } = await reader.read();
      if (done) throw new Error('the file ends before its voxels do');
      for (const [i, [from, to]] of ranges.entries()) {
        const first = Math.max(from, at);
        const last = Math.min(to, at + value.length);
        if (first < last) out[i].set(value.subarray(first - at, last - at), first - from);
      }
      at += value.length;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  return out;
}

/** @param {Uint8Array} bytes @returns {Header | null} */
export function parseHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getInt32(0, true) === 348;
  if (bytes.length < 348 || (!little && view.getInt32(0, false) !== 348)) return null;
  const rank = view.getInt16(40, little);
  if (rank < 1 || rank > 7) return null;
  const dims = Array.from({ length: 7 }, (_, i) => (i < rank ? Math.max(1, view.getInt16(42 + 2 * i, little)) : 1));
  const datatype = view.getInt16(70, little);
  return { dims, datatype, bytes: TYPES[datatype]?.[1] ?? view.getInt16(72, little) / 8, offset: view.getFloat32(108, little), little, intent: view.getInt16(68, little) };
}

/** The header of a NIfTI-1 file, null for anything else. @param {Blob} file @returns {Promise<Header | null>} */
export async function readHeader(file) {
  try {
    const [bytes] = await ranges(file, [[0, 348]]);
    return parseHeader(bytes);
  } catch {
    return null;
  }
}

/** More voxels than this are not looked at: enough to tell labels from tissue. */
const LOOKED_AT = 2 ** 22;

/**
 * Whether a file holds labels: few whole numbers, mostly equal to their neighbours. Gives its grid, or null.
 * @param {Blob} file
 */
export async function labelGrid(file) {
  const header = await readHeader(file);
  if (!header || !TYPES[header.datatype]) return null;
  const { dims, bytes, offset, little } = header;
  const voxels = Math.min(dims[0] * dims[1] * dims[2], LOOKED_AT * 16);
  if (dims[3] > 1 || voxels * bytes > 2 ** 29) return null;
  const data = await ranges(file, [[offset, offset + voxels * bytes]]).then(([d]) => d, () => null);
  if (!data) return null;
  const view = new DataView(data.buffer);
  const read = /** @type {(at: number) => number} */ ((at) => /** @type {any} */ (view)[`get${TYPES[header.datatype][0]}`](at * bytes, little));
  const step = Math.max(1, Math.floor(voxels / LOOKED_AT));
  const values = new Set();
  let pairs = 0;
  let equal = 0;
  for (let at = 0; at + 1 < voxels; at += step) {
    const here = read(at);
    if (!Number.isInteger(here) || here < 0 || here > 65_535) return null;
    if (here === 0) continue;
    values.add(here);
    if (values.size > 512) return null;
    const next = read(at + 1);
    if (next === 0) continue;
    pairs += 1;
    equal += Number(next === here);
  }
  if (values.size === 0 || pairs === 0 || equal < 0.75 * pairs) return null;
  return { dims: /** @type {[number, number, number]} */ (dims.slice(0, 3)), values: [...values].sort((a, b) => a - b) };
}

/** How many volumes a file holds; 1 where it is no NIfTI-1 file. @param {File} file */
export async function frameCount(file) {
  const header = await readHeader(file);
  return header ? header.dims[3] * header.dims[4] : 1;
}

/**
 * Frames of a file with several, each as a file of its own on the same grid.
 * @param {File} file
 * @param {number[]} frames
 * @param {(frame: number) => string} [called] the end of a frame's name
 */
export async function framesOf(file, frames, called = (frame) => `frame${frame + 1}`) {
  const header = await readHeader(file);
  if (!header) throw new Error(`${file.name}: frames can be taken from NIfTI-1 files only`);
  const size = header.dims[0] * header.dims[1] * header.dims[2] * header.bytes;
  /** @param {number} frame @returns {[number, number]} */
  const place = (frame) => [header.offset + frame * size, header.offset + (frame + 1) * size];
  const [head, ...voxels] = await ranges(file, [[0, header.offset], ...frames.map(place)]);
  const view = new DataView(head.buffer);
  view.setInt16(40, 3, header.little);
  for (let i = 3; i < 7; i += 1) view.setInt16(42 + 2 * i, 1, header.little);
  return voxels.map((part, i) => new File([head, part], file.name.replace(/(\.nii)?(\.gz)?$/i, `_${called(frames[i])}.nii`)));
}

/** Labels of a file of bytes, `(X, Y, Z)` with Z contiguous, and its grid. @param {Blob} file */
export async function readLabels(file) {
  const whole = new Uint8Array(await new Response(await stream(file)).arrayBuffer());
  const header = parseHeader(whole);
  const type = header && TYPES[header.datatype];
  if (!header || !type) throw new Error('the labels cannot be read');
  const [nx, ny, nz] = header.dims;
  const view = new DataView(whole.buffer);
  // A file of bytes, as this page and the program write them, is read ten times as fast without the view.
  const read = type[0] === 'Uint8' ? (/** @type {number} */ place) => whole[place] : /** @type {any} */ (view)[`get${type[0]}`].bind(view);
  const labels = new Uint8Array(nx * ny * nz);
  let at = header.offset;
  for (let z = 0; z < nz; z += 1) {
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0; x < nx; x += 1, at += type[1]) labels[(x * ny + y) * nz + z] = read(at, header.little);
    }
  }
  const row = (/** @type {number} */ base) => [0, 4, 8, 12].map((o) => view.getFloat32(base + o, header.little));
  const affine = [row(280), row(296), row(312), [0, 0, 0, 1]];
  return { labels, dims: /** @type {[number, number, number]} */ ([nx, ny, nz]), affine };
}
