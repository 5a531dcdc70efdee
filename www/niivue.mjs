// NiiVue as the page uses it: without what the page never draws, whose shaders it would compile before anything is to be seen.
import { readFile } from 'node:fs/promises';

/** In place of a picture that lights volumes. */
const DOT = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC';

/** A program that is compiled when it is first drawn with; NiiVue has three dozen of them, of which one page needs a third. */
const SHADER = `var Shader = class {
  #made = null;
  #sources;
  constructor(gl, vertex, fragment) { this.#sources = [gl, vertex, fragment]; }
  #make() {
    if (this.#made) return this.#made;
    const [gl, ...sources] = this.#sources;
    const program = compileShader(gl, ...sources);
    const names = sources.flatMap((source) => Array.from(source.matchAll(/uniform[^;]+[ ](\\w+);/g), ([, name]) => name));
    return this.#made = { program, uniforms: Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)])) };
  }
  get program() { return this.#make().program; }
  get uniforms() { return this.#make().uniforms; }
  use(gl) { gl.useProgram(this.program); }
};
`;

/** What, in place of what. @type {[string, RegExp, string][]} */
const CHANGES = [
  ['the picture that lights volumes, 55 kB', /data:image\/jpeg;base64,[A-Za-z0-9+/=]{20000,}/, DOT],
  ['gradients of every volume, most of the time of an upload', /(function gradientGL\(params\) \{)/, '$1 return params.gradientTexture;'],
  ['programs compiled before they are used', /var Shader = class \{.*?\n\};\n/s, SHADER],
  ['programs used before anything is drawn', /(const (\w+) = new Shader\([^;]+\);)\n\s+\2\.use\(gl\);(?=\n\s+(?:const|return) )/g, '$1'],
  ['programs of surfaces likewise', /m\.shader\.use\(gl\);(.*?if \(m\.shader\.isMatcap\) \{)/s, '$1 m.shader.use(gl);'],
  ['other ways to draw a volume', /new Shader\(gl, vertRenderShader, fragRender(?:Slice|Gradient|GradientValues)Shader\)/g, 'renderVolumeShader'],
];

/** @type {import('esbuild').Plugin} */
export const niivue = {
  name: 'niivue',
  setup(it) {
    it.onLoad({ filter: /@niivue\/niivue\/build\/niivue\/index\.js$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      for (const [what, pattern, replacement] of CHANGES) {
        const changed = contents.replace(pattern, replacement);
        if (changed === contents) throw new Error(`${path}: this version has ${what} elsewhere`);
        contents = changed;
      }
      return { contents, loader: 'js' };
    });
    // Codecs of a format that the page does not open, 1.4 MB.
    it.onResolve({ filter: /^numcodecs\// }, ({ path }) => ({ path, namespace: 'unused' }));
    it.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({ contents: `throw new Error(${JSON.stringify(`${path} is not part of this page`)});\nexport default null;` }));
  },
};
