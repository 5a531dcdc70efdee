// PyTorch checkpoints opened in the tab: the package that the command line makes, byte for byte.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { archived } from './golden.mjs';
import { out, pages, root, unetr } from './page.mjs';

const tab = pages();
const FOLDER = 'tests/golden/torch-checkpoints';
// What these checkpoints do not tell.
const GIVEN = { network: { img_size: [32, 16, 16], num_heads: 2 } };
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

test('every checkpoint becomes the package that the command line makes', async (t) => {
  const plain = 'plain-state-dict.pt';
  const files = [...archived(`${root}${FOLDER}.tar.br`), [plain, readFileSync(`${root}${FOLDER}/${plain}`)]];
  assert.ok(files.length >= 10);
  const given = `${out}given.json`;
  writeFileSync(given, JSON.stringify(GIVEN));
  for (const [name, bytes] of files) {
    writeFileSync(`${out}${name}`, bytes);
    const path = `${out}imported.safetensors`;
    execFileSync(unetr, ['import', `${out}${name}`, '--package', given, '-o', path, '--force'], { stdio: 'pipe' });
    const want = sha256(readFileSync(path));
    const got = await tab.run(async ({ importCheckpoint, bytes }, { url, GIVEN }) => {
      const { model, warnings } = await importCheckpoint(await bytes(url), { package: GIVEN });
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await model.arrayBuffer()));
      return { sha256: Array.from(hash, (b) => b.toString(16).padStart(2, '0')).join(''), warnings };
    }, { url: `/repo/www/tests/out/${name}`, GIVEN });
    t.diagnostic(`${name}: ${got.warnings.length} warnings`);
    assert.equal(got.sha256, want, name);
    assert.ok(got.warnings.some((w) => /input\.channels is not given/.test(w)), String(got.warnings));
  }
});

test('a checkpoint is segmented with as it is, says what it needs, and runs no code', async () => {
  const got = await tab.run(async ({ createSegmenter, importCheckpoint, bytes, fail, noise }, { url, GIVEN }) => {
    const file = await bytes(url);
    const asked = await fail(createSegmenter({ model: file }));
    const contradicted = await fail(createSegmenter({ model: file, package: { network: { ...GIVEN.network, feature_size: 4 } } }));
    const segmenter = await createSegmenter({ model: url, package: GIVEN });
    const direct = await segmenter.segment(noise([40, 20, 18]));
    const { sha256, warnings } = segmenter.model;
    segmenter.dispose();
    const { model } = await importCheckpoint(file, { package: JSON.stringify(GIVEN) });
    const second = await createSegmenter({ model });
    const packaged = await second.segment(noise([40, 20, 18]));
    const hash = second.model.sha256;
    second.dispose();
    // GLOBAL posix.system, then a call: what an attack looks like.
    const hostile = Uint8Array.from('\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.', (c) => c.charCodeAt(0));
    const zip = store('archive/data.pkl', hostile);
    const attack = await fail(importCheckpoint(zip));
    const cut = await fail(importCheckpoint(file.slice(0, file.byteLength >> 1), { package: GIVEN }));
    const text = await fail(importCheckpoint(new Blob(['no weights'])));
    return { asked, contradicted, sha256, hash, warnings, same: direct.labels.every((v, i) => v === packaged.labels[i]), attack, cut, text };

    /** A zip of one entry, not packed. */
    function store(name, data) {
      const crc = (all) => {
        let c = ~0;
        for (const byte of all) {
          c ^= byte;
          for (let k = 0; k < 8; k += 1) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
        }
        return ~c >>> 0;
      };
      const le = (size, ...values) => values.flatMap((v) => Array.from({ length: size }, (_, i) => Math.floor(v / 2 ** (8 * i)) % 256));
      const path = [...new TextEncoder().encode(name)];
      const common = [...le(2, 20, 0, 0, 0, 0), ...le(4, crc(data), data.length, data.length), ...le(2, path.length, 0)];
      const local = [0x50, 0x4b, 3, 4, ...common, ...path, ...data];
      const entry = [0x50, 0x4b, 1, 2, 20, 0, ...common, ...new Array(14).fill(0), ...path];
      const end = [0x50, 0x4b, 5, 6, ...le(2, 0, 0, 1, 1), ...le(4, entry.length, local.length), 0, 0];
      return Uint8Array.from([...local, ...entry, ...end]);
    }
  }, { url: `/repo/${FOLDER}/plain-state-dict.pt`, GIVEN }, { noise: true });
  assert.equal(got.asked.code, 'bad-model');
  assert.deepEqual(got.asked.fields.map((f) => f.field), ['network.img_size', 'network.num_heads']);
  assert.match(got.contradicted.message, /feature_size.*contradicts/);
  assert.ok(got.warnings.length > 0);
  assert.equal(got.sha256, got.hash, 'the package that is run is the one that is saved');
  assert.ok(got.same);
  assert.match(got.attack.message, /posix\.system/);
  for (const error of [got.attack, got.cut, got.text]) assert.equal(error.code, 'bad-model');
});
