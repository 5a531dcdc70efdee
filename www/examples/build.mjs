// Bundles the examples into a folder each, with what they open beside them.
import { build } from 'esbuild';
import { cp, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = `${here}../dist/`;
export const NAMES = ['minimal', 'niivue', 'cornerstone'];

export async function examples(folder) {
  for (const name of NAMES) {
    const to = `${folder}/${name}`;
    await mkdir(to, { recursive: true });
    for (const part of ['unetr-wgpu', 'models', 'samples']) await cp(dist + part, `${to}/${part}`, { recursive: true });
    await cp(`${here}${name}/index.html`, `${to}/index.html`);
    if (name === 'minimal') {
      await cp(`${here}${name}/main.js`, `${to}/main.js`);
      continue;
    }
    await build({
      entryPoints: [`${here}${name}/main.js`],
      outfile: `${to}/main.js`,
      bundle: true,
      format: 'esm',
      target: 'es2022',
      // Wherever a bundler leaves the package, its worker and wasm must lie beside it.
      alias: { 'unetr-wgpu/cornerstone3d': './unetr-wgpu/cornerstone3d.js', 'unetr-wgpu/niivue': './unetr-wgpu/niivue.js', 'unetr-wgpu': './unetr-wgpu/index.js' },
      external: ['./unetr-wgpu/*'],
      logLevel: 'error',
    });
  }
}
