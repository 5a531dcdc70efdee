// Bundles the web app into www/dist: static files that load nothing from elsewhere.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const www = fileURLToPath(new URL('.', import.meta.url));
const root = `${www}../`;
const dist = `${www}dist/`;
const options = { bundle: true, format: 'esm', target: 'es2022', minify: true, legalComments: 'linked', logLevel: 'warning' };

/** What each model is shown on, the model that the page opens first. */
const SAMPLES = {
  'hippocampus.safetensors': {
    scan: 'hippocampus/images/hippocampus_250.nii.gz', reference: 'hippocampus/labels/hippocampus_250.nii.gz', by: "Experts' labels",
  },
  'brain_regions.safetensors': {
    scan: 'ixi-brain/images/IXI034.nii.gz', reference: 'ixi-brain/labels/IXI034.nii.gz', by: 'DLMUSE labels',
  },
};

// The folder itself stays, with the file that keeps it in the repository.
for (const name of await readdir(dist)) if (name !== '.gitignore') await rm(dist + name, { recursive: true });
await mkdir(`${dist}models`);
await mkdir(`${dist}samples`);
await build({
  ...options,
  entryPoints: { app: `${www}app/main.js`, bench: `${www}app/bench.js` },
  outdir: dist,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  // The package is used as it is published: its worker and wasm lie beside it.
  external: ['./unetr-wgpu/index.js'],
  alias: { 'unetr-wgpu': './unetr-wgpu/index.js' },
});
await cp(`${www}pkg`, `${dist}unetr-wgpu`, { recursive: true });
for (const file of ['index.html', 'bench.html', 'style.css', 'icon.svg']) await cp(`${www}${file}`, dist + file);
await writeFile(`${dist}models/index.json`, JSON.stringify(await models()));
await serviceWorker();

/** Copies every model of the repository and its sample, and says what the page's list shows before one is loaded. */
async function models() {
  const entries = [];
  const files = (await readdir(`${root}models`)).filter((name) => name.endsWith('.safetensors'));
  const rank = (file) => (Object.keys(SAMPLES).indexOf(file) + 1) || Infinity;
  for (const file of files.sort((a, b) => rank(a) - rank(b))) {
    const bytes = await readFile(`${root}models/${file}`);
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())));
    const { name, version, licence } = JSON.parse(header.__metadata__.unetr);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    entries.push({ file, name, version, licence, bytes: bytes.length, sha256, sample: await sample(SAMPLES[file]) });
    await writeFile(`${dist}models/${file}`, bytes);
  }
  return entries;
}

async function sample(known) {
  if (!known) return undefined;
  const scan = `samples/${known.scan.split('/').pop()}`;
  const reference = scan.replace('.nii', '_reference.nii');
  await cp(`${root}tests/data/${known.scan}`, dist + scan);
  await cp(`${root}tests/data/${known.reference}`, dist + reference);
  return { scan, reference, by: known.by };
}

/** The worker that keeps the app; its version is the hash of all that it keeps. */
async function serviceWorker() {
  const names = (await readdir(dist, { recursive: true })).map((n) => n.replaceAll('\\', '/')).sort();
  const files = ['./'];
  const hash = createHash('sha256');
  for (const name of names) {
    // Models are kept by the package; the rest is for people.
    if (/^models\/.*safetensors$|LICENSE|LEGAL|README|\.gitignore|\.d\.ts$/.test(name) || (await stat(dist + name)).isDirectory()) continue;
    hash.update(name).update(await readFile(dist + name));
    if (name !== 'index.html') files.push(name);
  }
  const define = { __VERSION__: JSON.stringify(hash.digest('hex').slice(0, 16)), __FILES__: JSON.stringify(files) };
  await build({ ...options, entryPoints: [`${www}app/sw.js`], outfile: `${dist}sw.js`, define });
}
