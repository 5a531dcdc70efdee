// Reference files that are much the same, packed together: FOLDER.tar.br in tests/golden.
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';

/** [name, bytes] of every file of an archive of plain files with short names (ustar). */
export function archived(path) {
  const tar = brotliDecompressSync(readFileSync(path));
  const text = (at, length) => tar.toString('latin1', at, at + length).replace(/\0.*$/s, '');
  const files = [];
  for (let at = 0; tar[at]; ) {
    const size = parseInt(text(at + 124, 12), 8);
    files.push([text(at, 100), tar.subarray(at + 512, at + 512 + size)]);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
