// What the tests of modules for viewers share: viewers bundled for a page, beside the package as it is published.
import { mkdirSync } from 'node:fs';
import { build } from 'esbuild';

import { out, root } from './page.mjs';

/** Bundles of these entry points, name -> source text, as what a test's server serves below `/viewers/`. */
export async function bundled(sources) {
  const folder = `${out}viewers/`;
  mkdirSync(folder, { recursive: true });
  const files = {};
  await Promise.all(Object.entries(sources).map(async ([name, contents]) => {
    const outfile = `${folder}${name}.js`;
    await build({
      stdin: { contents, resolveDir: `${root}www`, loader: 'jsx' },
      outfile, bundle: true, format: 'esm', target: 'es2022', logLevel: 'error', jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
      // The package is used as it is published.
      external: ['/unetr-wgpu/*'],
      alias: { 'unetr-wgpu': '/unetr-wgpu/index.js' },
    });
    files[`/viewers/${name}.js`] = outfile;
  }));
  return files;
}
