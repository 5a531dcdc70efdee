// The 3-D view. Every pixel of a scan is a ray through the whole volume, and surfaces have millions of corners: slow devices
// need seconds for either. So the view has a picture of its own, drawn only when something in it changes: at once where that
// is quick, else piece by piece, one at a time, each of which takes about as long as a few frames. A scan is coarse first and
// then drawn in bands, surfaces are drawn a few at a time.
import { Fence } from './fence.js';

/** What a band may take. */
const BUDGET_MS = 50;
/** What a piece seems to take at least, since it is looked for once a frame. */
const FRAME_MS = 17;
/** Pixels that are drawn before it is known how fast this device is. */
const FIRST = 4096;
/** Beyond this a band is not made smaller, nor the coarse picture coarser. */
const BANDS = 64;
const COARSEST = 8;

const VERTEX = `#version 300 es
out vec2 at;
void main() { at = vec2(gl_VertexID & 1, gl_VertexID >> 1); gl_Position = vec4(2.0 * at - 1.0, 0.0, 1.0); }`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
in vec2 at;
out vec4 color;
void main() { color = vec4(texture(picture, at).rgb, 1.0); }`;

/**
 * @typedef {object} Picture
 * @property {WebGLFramebuffer} frame
 * @property {WebGLTexture} texture
 * @property {WebGLRenderbuffer} depth
 * @property {number} width
 * @property {number} height
 *
 * @typedef {[number, number, number, number]} Box left, top, width, height in pixels of the canvas
 */

export class Solid {
  #nv;
  /** @type {WebGL2RenderingContext} */
  #gl;
  /** NiiVue's own drawing of the 3-D view. @type {(...all: any[]) => void} */
  #render;
  /** @type {{program: WebGLProgram, shape: WebGLVertexArrayObject}} */
  #copy;
  /** What is shown, and what becomes of it. @type {Picture | null} */
  #front = null;
  /** @type {Picture | null} */
  #back = null;
  /** What is to be shown, as everything that it depends on, and what the pictures are of. */
  #wanted = '';
  #made = '';
  /** @type {'coarse' | 'bands' | 'surfaces' | 'whole'} */
  #stage = 'coarse';
  #width = 1;
  #height = 1;
  /** Whether there is anything to be shown. */
  #seen = false;
  /** Rows of the picture that are drawn. */
  #rows = 0;
  /** Whether there are surfaces and no scan. */
  #surfaces = false;
  /** Surfaces that are still to be drawn, and from where they are seen. @type {any[]} */
  #left = [];
  /** @type {any[]} */
  #place = [];
  /** How many surfaces were in the last picture of them, and what they took beyond the frames that it is told by. */
  #surfacesSeen = 0;
  #surfacesMs = Infinity;
  #spentMs = 0;
  /** How many surfaces this device draws within the budget. */
  #many = 1;
  /** Pixels that this device draws within the budget. */
  #fits = FIRST;
  /** What the device has not yet done. @type {Fence} */
  #fence;
  /** How the viewer's list of views tells of this one. @type {any} */
  #entry = null;

  /** @param {any} nv @param {(...all: any[]) => void} render */
  constructor(nv, render) {
    this.#nv = nv;
    this.#gl = nv.gl;
    this.#fence = new Fence(nv.gl);
    this.#render = render;
    this.#copy = copier(this.#gl);
  }

  /**
   * Puts the picture where the view lies. Gives whether there is more to come, by `step`.
   * @param {Box} box
   * @param {string} state all that the picture depends on, but for its size
   * @param {boolean} surfaces whether there are surfaces and no scan
   */
  draw(box, state, surfaces) {
    const [left, top, width, height] = box;
    // As the device takes them: a picture of another size would be blurred.
    this.#width = Math.max(1, Math.trunc(width));
    this.#height = Math.max(1, Math.trunc(height));
    this.#wanted = `${this.#width} ${this.#height} ${surfaces} ${state}`;
    this.#surfaces = surfaces;
    // What is quick is drawn before it is shown, so that nothing lags behind the hand; surfaces right onto the canvas, which
    // may smooth their edges.
    if (surfaces && this.#surfacesMs <= BUDGET_MS && this.#visible().length <= this.#surfacesSeen) {
      this.#render(box);
      this.#made = '';
      return false;
    }
    if (!this.#done && this.#quick && this.#fence.passed) this.#all();
    if (this.#entry) this.#nv.screenSlices.push({ ...this.#entry, leftTopWidthHeight: [...box] });
    else this.#nv.screenSlices.push({ leftTopWidthHeight: [...box], axCorSag: 4, sliceFrac: 0, AxyzMxy: [], leftTopMM: [], fovMM: [0, 0] });
    const gl = this.#gl;
    if (this.#front && this.#seen) this.#put(this.#front, left, gl.canvas.height - top - height, width, height);
    return !this.#done;
  }

  /** Shows nothing until the next picture: what was drawn is of another scan. */
  clear() {
    this.#seen = false;
    this.#made = '';
    this.#left = [];
  }

  /** Others have taken the surfaces' place: how long they take is not known. */
  renew() {
    this.#surfacesMs = Infinity;
    this.#left = [];
    this.#stage = 'coarse';
    this.#made = '';
  }

  /** Does the next piece, if the device has done the one before. @returns {'shown' | 'more' | 'done'} whether the view is to be drawn again */
  step() {
    if (this.#done) return 'done';
    if (!this.#fence.passed) return 'more';
    if (this.#surfaces) return this.#nextSurface();
    if (this.#quick) {
      this.#all();
      return 'shown';
    }
    if (this.#made !== this.#wanted || this.#stage === 'surfaces') {
      const by = Math.min(COARSEST, Math.ceil(Math.sqrt((this.#width * this.#height) / this.#fits)));
      this.#front = this.#sized(this.#front, Math.ceil(this.#width / by), Math.ceil(this.#height / by));
      this.#into(this.#front, 0, this.#front.height);
      this.#made = this.#wanted;
      this.#seen = true;
      this.#stage = 'coarse';
      return 'more';
    }
    if (this.#stage === 'coarse') {
      this.#stage = 'bands';
      this.#rows = 0;
      return 'shown';
    }
    if (this.#rows >= this.#height) {
      [this.#front, this.#back] = [this.#back, this.#front];
      this.#stage = 'whole';
      return 'shown';
    }
    this.#back = this.#sized(this.#back, this.#width, this.#height);
    const rows = Math.min(this.#height - this.#rows, Math.max(Math.ceil(this.#height / BANDS), Math.floor(this.#fits / this.#width)));
    this.#into(this.#back, this.#rows, rows);
    this.#rows += rows;
    return 'more';
  }

  /** A picture of surfaces that was begun is ended, so that something is seen while the hand turns it. */
  #nextSurface() {
    if (this.#stage !== 'surfaces') {
      const nv = this.#nv;
      const { renderAzimuth, renderElevation } = nv.scene;
      this.#back = this.#sized(this.#back, this.#width, this.#height);
      nv.setPivot3D();
      this.#place = [...nv.calculateMvpMatrix(null, this.#box(this.#back), renderAzimuth, renderElevation), renderAzimuth, renderElevation];
      this.#made = this.#wanted;
      this.#stage = 'surfaces';
      this.#left = this.#visible();
      this.#surfacesSeen = this.#left.length;
      this.#spentMs = 0;
      this.#into(this.#back, 0, this.#height, { surfaces: this.#left.splice(0, this.#many) });
      return 'more';
    }
    if (this.#left.length > 0) {
      this.#into(/** @type {Picture} */ (this.#back), 0, this.#height, { surfaces: this.#left.splice(0, this.#many), more: true });
      return 'more';
    }
    [this.#front, this.#back] = [this.#back, this.#front];
    this.#seen = true;
    this.#stage = 'whole';
    this.#surfacesMs = this.#spentMs;
    return 'shown';
  }

  /** Whether a piece is being drawn: whatever is drawn now would wait for it. */
  get busy() {
    return !this.#fence.passed;
  }

  /** @returns {any[]} */
  #visible() {
    return this.#nv.meshes.filter((/** @type {any} */ mesh) => mesh.visible);
  }

  get #done() {
    return this.#stage === 'whole' && this.#made === this.#wanted;
  }

  get #quick() {
    return !this.#surfaces && this.#width * this.#height <= this.#fits;
  }

  #all() {
    this.#front = this.#sized(this.#front, this.#width, this.#height);
    this.#into(this.#front, 0, this.#height);
    this.#made = this.#wanted;
    this.#seen = true;
    this.#stage = 'whole';
  }

  /** Times are told by frames: what takes one of them may take much less. @param {number} pixels @param {number} ms */
  #learnPixels(pixels, ms) {
    const could = pixels * (ms < BUDGET_MS ? 2 : BUDGET_MS / ms);
    this.#fits = Math.max(FIRST / 8, ms < BUDGET_MS ? Math.max(this.#fits, could) : could);
  }

  /** @param {number} ms */
  #learnSurfaces(ms) {
    this.#spentMs += Math.max(0, ms - FRAME_MS);
    this.#many = Math.max(1, Math.floor(this.#many * (ms < BUDGET_MS ? 2 : BUDGET_MS / ms)));
  }

  /** @param {Picture} picture @returns {Box} where NiiVue draws it: its rows are counted from below */
  #box({ width, height }) {
    return [0, this.#gl.canvas.height - height, width, height];
  }

  /**
   * Draws some rows of a picture, or some surfaces of it.
   * @param {Picture} picture
   * @param {number} from
   * @param {number} rows
   * @param {{surfaces?: any[], more?: boolean}} [part] `more`: over what is there
   */
  #into(picture, from, rows, { surfaces, more = false } = {}) {
    const nv = this.#nv;
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, picture.frame);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, from, picture.width, rows);
    gl.clearColor(0, 0, 0, 1);
    gl.depthMask(true);
    if (!more) gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    // NiiVue begins by clearing depths.
    gl.depthMask(false);
    const { screenSlices, meshes } = nv;
    nv.screenSlices = [];
    if (surfaces) nv.meshes = surfaces;
    this.#render(this.#box(picture), ...(surfaces ? this.#place : []));
    [this.#entry] = nv.screenSlices;
    Object.assign(nv, { screenSlices, meshes });
    gl.disable(gl.SCISSOR_TEST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    // Extents are again those of everything.
    if (surfaces) nv.setPivot3D();
    this.#fence.wait(surfaces ? (ms) => this.#learnSurfaces(ms) : (ms) => this.#learnPixels(picture.width * rows, ms));
  }

  /** Draws a picture onto the canvas. @param {Picture} picture @param {number} left @param {number} bottom @param {number} width @param {number} height */
  #put({ texture }, left, bottom, width, height) {
    const gl = this.#gl;
    gl.viewport(left, bottom, width, height);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.CULL_FACE);
    gl.disable(gl.BLEND);
    gl.useProgram(this.#copy.program);
    gl.activeTexture(gl.TEXTURE15);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.bindVertexArray(this.#copy.shape);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.bindTexture(gl.TEXTURE_2D, null);
    gl.bindVertexArray(this.#nv.unusedVAO);
    gl.enable(gl.DEPTH_TEST);
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
  }

  /** A picture of this size, made of this one if it has it. @param {Picture | null} old @param {number} width @param {number} height @returns {Picture} */
  #sized(old, width, height) {
    if (old && old.width === width && old.height === height) return old;
    const gl = this.#gl;
    if (old) {
      gl.deleteFramebuffer(old.frame);
      gl.deleteTexture(old.texture);
      gl.deleteRenderbuffer(old.depth);
    }
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE15);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.LINEAR);
    gl.bindTexture(gl.TEXTURE_2D, null);
    const depth = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, width, height);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return { frame, texture, depth, width, height };
  }
}

/** @param {WebGL2RenderingContext} gl */
function copier(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.uniform1i(gl.getUniformLocation(program, 'picture'), 15);
  return { program, shape: gl.createVertexArray() };
}
