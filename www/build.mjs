// Bundles the web app into www/dist: static files that load nothing from elsewhere.
import { build, transform } from 'esbuild';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { crates, notices, packages } from './licences.mjs';
import { niivue } from './niivue.mjs';

const www = fileURLToPath(new URL('.', import.meta.url));
const root = `${www}../`;
const dist = `${www}dist/`;
const options = { bundle: true, format: 'esm', target: 'es2022', minify: true, legalComments: 'none', logLevel: 'warning' };

/** The model that the page opens first: its sample is a whole head. */
const FIRST = 'brain_regions.safetensors';

// The folder itself stays, with the file that keeps it in the repository.
for (const name of await readdir(dist)) if (name !== '.gitignore') await rm(dist + name, { recursive: true });
await mkdir(`${dist}models`);
await mkdir(`${dist}samples`);
const { metafile } = await build({
  ...options,
  plugins: [niivue],
  metafile: true,
  entryPoints: { app: `${www}app/main.js`, bench: `${www}app/bench.js`, 'surfaces-worker': `${www}app/viewer/surfaces-worker.js` },
  outdir: dist,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  // The package is used as it is published: its worker and wasm lie beside it.
  external: ['./unetr-wgpu/index.js'],
  alias: { 'unetr-wgpu': './unetr-wgpu/index.js' },
});
await cp(`${www}pkg`, `${dist}unetr-wgpu`, { recursive: true, filter: (name) => !name.endsWith('.d.ts') });
// File by file: the package finds its worker and its module beside itself.
for (const name of (await readdir(`${dist}unetr-wgpu`)).filter((n) => n.endsWith('.js'))) {
  const path = `${dist}unetr-wgpu/${name}`;
  await writeFile(path, (await transform(await readFile(path, 'utf8'), { minify: true, format: 'esm', target: 'es2022' })).code);
}
for (const file of ['icon.svg', 'manifest.webmanifest']) await cp(`${www}${file}`, dist + file);
for (const file of ['index.html', 'bench.html']) await writeFile(dist + file, (await readFile(www + file, 'utf8')).replace(/\n\s+/g, '\n'));
await writeFile(`${dist}style.css`, (await transform(await readFile(`${www}style.css`, 'utf8'), { loader: 'css', minify: true })).code);
await writeFile(`${dist}models/index.json`, JSON.stringify(await models()));
await writeFile(`${dist}licences.txt`, notices([...crates('program'), ...crates('tab'), ...packages(Object.keys(metafile.inputs))]));
await serviceWorker();

/** Copies every model of the repository and its sample, and says what the page's list shows before one is loaded. */
async function models() {
  const entries = [];
  const files = (await readdir(`${root}models`)).filter((name) => name.endsWith('.safetensors'));
  for (const file of files.sort((a, b) => Number(b === FIRST) - Number(a === FIRST))) {
    const bytes = await readFile(`${root}models/${file}`);
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())));
    const { name, version, licence, output } = JSON.parse(header.__metadata__.unetr);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    entries.push({ file, name, version, licence, bytes: bytes.length, sha256, labels: output.labels, sample: await sample(file) });
    await writeFile(`${dist}models/${file}`, bytes);
  }
  return entries;
}

/** The scan that a model is shown on, and the labels that it gives for it, which are MONAI's voxel for voxel. */
async function sample(model) {
  const name = model.replace('.safetensors', '');
  const stems = (await readdir(`${root}models/samples`)).filter((n) => n.endsWith('.nii.gz')).map((n) => n.replace('.nii.gz', ''));
  // Models of one task share a scan, whose name theirs begin with.
  const stem = stems.find((s) => name === s || name.startsWith(`${s}_`));
  if (!stem) return undefined;
  const [scan, labels] = [`samples/${stem}.nii.gz`, `samples/${name}_labels.nii.gz`];
  await cp(`${root}models/samples/${stem}.nii.gz`, dist + scan);
  await cp(`${root}tests/golden/samples/${name}.nii.gz`, dist + labels);
  return { scan, labels };
}

/**
 * The worker that keeps the app; its version is the hash of all that it keeps: what the page needs before it is used, and
 * what it needs without a network. Models are kept by the package. Other models' samples, the
 * benchmark and texts for people are fetched when they are first asked for.
 */
async function serviceWorker() {
  const names = (await readdir(dist, { recursive: true })).map((n) => n.replaceAll('\\', '/')).sort();
  const [{ sample: first }] = JSON.parse(await readFile(`${dist}models/index.json`, 'utf8'));
  const samples = Object.values(first ?? {});
  const files = ['./'];
  const hash = createHash('sha256');
  for (const name of names) {
    if (/^models\/.*safetensors$|LICENSE|THIRD-PARTY|README|^unetr-wgpu\/(cornerstone3d|element|labelmap|niivue|run|seg)\.js|\.gitignore|^bench\.|(blosc|lz4|zstd)-|licences|package\.json$/.test(name) || (await stat(dist + name)).isDirectory()) continue;
    if (name.startsWith('samples/') && !samples.includes(name)) continue;
    hash.update(name).update(await readFile(dist + name));
    if (name !== 'index.html') files.push(name);
  }
  const define = { __VERSION__: JSON.stringify(hash.digest('hex').slice(0, 16)), __FILES__: JSON.stringify(files) };
  await build({ ...options, entryPoints: [`${www}app/sw.js`], outfile: `${dist}sw.js`, define });
}
