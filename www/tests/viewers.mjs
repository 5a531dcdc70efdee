// What the tests of modules for viewers share: viewers bundled for a page, beside the package as it is published.
import { mkdirSync } from 'node:fs';
import { build } from 'esbuild';

import { out, root } from './page.mjs';

/** Modules of Node that codecs ask for where they find themselves in it. */
const NODE = {
  name: 'node',
  setup(it) {
    it.onResolve({ filter: /^(fs|path)$/ }, ({ path }) => ({ path, namespace: 'node' }));
    it.onLoad({ filter: /.*/, namespace: 'node' }, () => ({ contents: 'module.exports = {};' }));
  },
};

/**
 * Bundles of these entry points, name -> source text, as what a test's server serves below `/viewers/`; the package lies below `at`.
 */
export async function bundled(sources, { at = '/unetr-wgpu', alias = {} } = {}) {
  const folder = `${out}viewers/`;
  mkdirSync(folder, { recursive: true });
  const files = {};
  await Promise.all(Object.entries(sources).map(async ([name, contents]) => {
    const outfile = `${folder}${name}.js`;
    await build({
      stdin: { contents, resolveDir: `${root}www`, loader: 'jsx' },
      outfile, absWorkingDir: `${root}www`, bundle: true, plugins: [NODE], format: 'esm', target: 'es2022', logLevel: 'error', jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
      // The package is used as it is published.
      external: [`${at}/*`],
      alias: { 'unetr-wgpu/cornerstone3d': `${at}/cornerstone3d.js`, 'unetr-wgpu': `${at}/index.js`, ...alias },
    });
    files[`/viewers/${name}.js`] = outfile;
  }));
  return files;
}
