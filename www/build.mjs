// Bundles the web app into www/dist: static files that load nothing from elsewhere.
import { build } from 'esbuild';
import { cp, mkdir, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const www = fileURLToPath(new URL('.', import.meta.url));
const root = `${www}../`;
const dist = `${www}dist/`;

await rm(dist, { recursive: true, force: true });
await mkdir(`${dist}samples`, { recursive: true });
await mkdir(`${dist}models`);
await build({
  entryPoints: { app: `${www}app/main.js` },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'linked',
  chunkNames: 'chunks/[name]-[hash]',
  // The package is used as it is published: its worker and wasm lie beside it.
  external: ['./unetr-wgpu/index.js'],
  alias: { 'unetr-wgpu': './unetr-wgpu/index.js' },
  logLevel: 'warning',
});
await cp(`${www}pkg`, `${dist}unetr-wgpu`, { recursive: true });
for (const file of ['index.html', 'style.css', 'icon.svg']) await cp(`${www}${file}`, dist + file);
await cp(`${root}models/hippocampus.safetensors`, `${dist}models/hippocampus.safetensors`);
await cp(`${root}tests/data/hippocampus/images/hippocampus_250.nii.gz`, `${dist}samples/hippocampus_250.nii.gz`);
