// The 3-D view of the scan itself: every pixel of it is a ray through the whole volume, which slow devices need seconds for.
// So it has a picture of its own, drawn only when something in it changes: at once where that is quick, else coarse first
// and then in bands, one at a time, each of which takes about as long as a few frames.

/** What a band may take. */
const BUDGET_MS = 50;
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
  /** NiiVue's own drawing of the 3-D view. @type {(box: Box) => void} */
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
  /** @type {'coarse' | 'bands' | 'whole'} */
  #stage = 'coarse';
  #width = 1;
  #height = 1;
  /** Whether there is anything to be shown. */
  #seen = false;
  /** Rows of the picture that are drawn. */
  #rows = 0;
  /** Pixels that this device draws within the budget. */
  #fits = FIRST;
  /** What the device has not yet done. @type {{fence: WebGLSync, since: number, pixels: number} | null} */
  #pending = null;
  /** How the viewer's list of views tells of this one. @type {any} */
  #entry = null;

  /** @param {any} nv @param {(box: Box) => void} render */
  constructor(nv, render) {
    this.#nv = nv;
    this.#gl = nv.gl;
    this.#render = render;
    this.#copy = copier(this.#gl);
  }

  /**
   * Puts the picture where the view lies. Gives whether there is more to come, by `step`.
   * @param {Box} box
   * @param {string} state all that the picture depends on, but for its size
   */
  draw(box, state) {
    const [left, top, width, height] = box;
    this.#width = Math.max(1, Math.round(width));
    this.#height = Math.max(1, Math.round(height));
    this.#wanted = `${this.#width} ${this.#height} ${state}`;
    // What is quick is drawn before it is shown, so that nothing lags behind the hand.
    if (!this.#done && this.#quick && this.#idle()) this.#all();
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
  }

  /** Does the next piece, if the device has done the one before. @returns {'shown' | 'more' | 'done'} whether the view is to be drawn again */
  step() {
    if (this.#done) return 'done';
    if (!this.#idle()) return 'more';
    if (this.#quick) {
      this.#all();
      return 'shown';
    }
    if (this.#made !== this.#wanted) {
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

  get #done() {
    return this.#stage === 'whole' && this.#made === this.#wanted;
  }

  get #quick() {
    return this.#width * this.#height <= this.#fits;
  }

  #all() {
    this.#front = this.#sized(this.#front, this.#width, this.#height);
    this.#into(this.#front, 0, this.#height);
    this.#made = this.#wanted;
    this.#seen = true;
    this.#stage = 'whole';
  }

  /** Whether the device has done all that it was given; from how long that took follows what fits. */
  #idle() {
    const gl = this.#gl;
    if (!this.#pending) return true;
    const { fence, since, pixels } = this.#pending;
    if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED && !gl.isContextLost()) return false;
    gl.deleteSync(fence);
    this.#pending = null;
    const ms = performance.now() - since;
    // Times are told by frames: what takes one of them may take much less.
    const could = pixels * (ms < BUDGET_MS ? 2 : BUDGET_MS / ms);
    this.#fits = Math.max(FIRST / 8, ms < BUDGET_MS ? Math.max(this.#fits, could) : could);
    return true;
  }

  /** Draws some rows of a picture. @param {Picture} picture @param {number} from @param {number} rows */
  #into({ frame, width, height }, from, rows) {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, from, width, rows);
    gl.clearColor(0, 0, 0, 1);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const views = this.#nv.screenSlices;
    this.#nv.screenSlices = [];
    this.#render([0, gl.canvas.height - height, width, height]);
    [this.#entry] = this.#nv.screenSlices;
    this.#nv.screenSlices = views;
    gl.disable(gl.SCISSOR_TEST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const fence = /** @type {WebGLSync} */ (gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0));
    gl.flush();
    if (fence) this.#pending = { fence, since: performance.now(), pixels: width * rows };
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
