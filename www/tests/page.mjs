// What the tests of the package share: a server, a browser, and pages that have the package and nothing else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';

import { launch, open } from './browser.mjs';
import { labels } from './nifti.mjs';
import { serve } from './server.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const out = fileURLToPath(new URL('out/', import.meta.url));
export const unetr = process.env.UNETR ?? `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/release/unetr`;
export const MODEL = '/models/hippocampus.safetensors';
export const SCAN = '/repo/models/samples/hippocampus.nii.gz';

const file = readFileSync(`${root}models/hippocampus.safetensors`);
const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE())));
/** What the tests know of the shipped model: read from it, because it may be replaced. */
export const SHIPPED = {
  bytes: file.length,
  sha256: createHash('sha256').update(file).digest('hex'),
  package: JSON.parse(header.__metadata__.unetr),
};
export const ROI = SHIPPED.package.network.img_size;
export const SHA256 = SHIPPED.sha256;

/** Call once per file. Gives an object whose `server`, with more `files`, and `browser` live as long as the file's tests. */
export function pages(files = {}) {
  const shared = {};
  // A file's own preparations do not wait for these by themselves.
  shared.started = (async () => {
    mkdirSync(out, { recursive: true });
    shared.server = await serve({ files });
    shared.browser = await launch();
  })();
  before(() => shared.started);
  after(async () => {
    await shared.browser?.close();
    shared.server?.close();
  });
  shared.page = () => open(shared.browser, `${shared.server.url}/page`);
  /** Runs `body(package, argument)` in an empty page of its own; nothing may be reported on the console. */
  shared.run = async (body, argument = {}, { noise = false } = {}) => {
    const { page, problems, context } = await shared.page();
    try {
      const result = await page.evaluate(script(body, argument));
      if (!noise) assert.deepEqual(problems, []);
      return result;
    } finally {
      await context.close();
    }
  };
  return shared;
}

/** The text of a script that runs `body` with the package and a few helpers. */
export function script(body, argument = {}) {
  return `(async (a) => {
    const unetr = await import('/unetr-wgpu/index.js');
    const bytes = async (url) => (await fetch(url)).arrayBuffer();
    const fail = async (promise) => promise.then(() => null, (e) => ({ code: e.code, name: e.name, message: e.message, fields: e.fields }));
    const affine = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
    /** A scan of this size that is no constant anywhere. */
    const noise = (dims) => {
      const [, ny, nz] = dims;
      const data = Float32Array.from({ length: dims[0] * ny * nz }, (_, i) => Math.sin(i * 0.37) + (i % (ny * nz)) / (ny * nz));
      return { data, dims, affine };
    };
    /** Makes workers whose device fails when the channel says so, and counts them. */
    const failing = () => {
      let workers = 0;
      const worker = () => {
        workers += 1;
        return new Worker('/repo/www/tests/failing-worker.js', { type: 'module' });
      };
      return { gpu: new BroadcastChannel('gpu'), worker, made: () => workers };
    };
    return (${body})({ ...unetr, bytes, fail, noise, affine, failing }, a);
  })(${JSON.stringify({ MODEL, SHA256, SCAN, ROI, ...argument })})`;
}

/** The native program's labels of the scan at this path, a file or a folder; `model` is a package's path. */
export function native(image, model = `${root}models/hippocampus.safetensors`) {
  const path = `${out}${image.split('/').pop().replace(/(\.nii\.gz)?$/, '.nii.gz')}`;
  execFileSync(unetr, ['segment', image, '-m', model, '-o', path, '--force'], { stdio: 'pipe' });
  return labels(readFileSync(path));
}
