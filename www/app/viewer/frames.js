// When the picture is drawn: at most once a frame, and where uploads are slow only when the device has them, since a frame
// waits for all that the device was given before. The 3-D view has frames of its own, piece by piece (`solid.js`).
import { Niivue } from '@niivue/niivue';
import { Fence } from './fence.js';
import { Solid } from './solid.js';

/** An upload that takes no longer is drawn in the same frame. */
const QUICK_MS = 30;

/**
 * @typedef {object} Hooks
 * @property {() => void} onDrawn everything was drawn
 * @property {() => boolean} surfacesAlone whether 3-D shows surfaces and no scan
 */

export class Frames {
  /** @type {any} */
  #nv;
  /** @type {Hooks} */
  #hooks;
  /** Whether the scan is to be put through another grey window. */
  #windowing = false;
  /** Whether a frame is to come in which more is drawn. */
  #coming = false;
  /** Whether what is drawn differs from what is to be seen, and whether the 3-D view is not whole yet. */
  #stale = false;
  #unfinished = false;
  /** Whether it is that view's turn. */
  #turn = false;
  /** @type {Solid | null} */
  #solid = null;
  /** Counts what is uploaded: the 3-D view depends on it. */
  #uploads = 0;
  /** The first upload that is not drawn yet, until the device has it. @type {Fence | null} */
  #upload = null;
  /** How long the last one took. */
  #uploadMs = Infinity;

  /** @param {any} nv before it has a canvas @param {Hooks} hooks */
  constructor(nv, hooks) {
    this.#nv = nv;
    this.#hooks = hooks;
    this.#wrap();
  }

  /** Begins to draw 3-D in pieces: there is a canvas. */
  begin() {
    this.#solid = new Solid(this.#nv, (...all) => Niivue.prototype.draw3D.apply(this.#nv, /** @type {any} */ (all)));
  }

  /** Another scan: what was drawn in 3-D is shown no longer. */
  clear() {
    this.#solid?.clear();
  }

  /** Other surfaces. */
  renew() {
    this.#solid?.renew();
  }

  /** Puts the scan through another grey window, all of it at once, in the next frame. */
  rewindow() {
    this.#windowing = true;
    this.#next();
  }

  /** Draws everything now, and 3-D whole. */
  drawWhole() {
    const solid = this.#solid;
    this.#solid = null;
    try {
      this.#applyWindow();
      this.#draw();
    } finally {
      this.#solid = solid;
    }
    this.#nv.drawScene();
  }

  #wrap() {
    const nv = this.#nv;
    const { draw3D, resizeListener } = Niivue.prototype;
    nv.drawScene = () => {
      this.#stale = true;
      this.#next();
    };
    // A canvas that gets another size is empty until it is drawn.
    nv.resizeListener = () => {
      resizeListener.call(nv);
      this.#draw();
    };
    for (const name of /** @type {const} */ (['refreshLayers', 'refreshDrawing', 'refreshColormaps', 'closeDrawing'])) {
      const own = /** @type {(...all: any[]) => any} */ (Niivue.prototype[name]);
      nv[name] = (/** @type {any[]} */ ...all) => {
        const made = own.apply(nv, all);
        this.#uploads += 1;
        if (name !== 'refreshColormaps') this.#uploaded();
        return made;
      };
    }
    const solid = (/** @type {any[]} */ ...all) => draw3D.apply(nv, /** @type {any} */ (all));
    nv.draw3D = (/** @type {any[]} */ ...all) => {
      const { gl } = nv;
      gl.disable(gl.SCISSOR_TEST);
      if (nv.uiData.mouseDepthPicker) {
        // What is under the pointer is told by one pixel.
        gl.enable(gl.SCISSOR_TEST);
        gl.scissor(nv.mousePos[0], gl.canvas.height - nv.mousePos[1] - 1, 1, 1);
        solid(...all);
        gl.disable(gl.SCISSOR_TEST);
      } else if (!this.#solid) {
        solid(...all);
      } else {
        const [box] = all;
        this.#unfinished = this.#solid.draw(box?.[2] > 0 ? box : [0, 0, gl.canvas.width, gl.canvas.height], this.#solidState(), this.#hooks.surfacesAlone());
      }
    };
  }

  /** What the 3-D view depends on. */
  #solidState() {
    this.#nv.setPivot3D();
    const { scene, volumes, meshes, drawOpacity, furthestFromPivot, pivot3D } = this.#nv;
    return JSON.stringify([
      this.#uploads, drawOpacity, Array.from(pivot3D), furthestFromPivot, scene.renderAzimuth, scene.renderElevation, scene.volScaleMultiplier, scene.clipPlaneDepthAziElevs,
      volumes.map((/** @type {any} */ v) => v.opacity), meshes.map((/** @type {any} */ m) => [m.name, m.opacity, m.visible]),
    ]);
  }

  #uploaded() {
    const { gl } = this.#nv;
    if (!gl || !this.#arrived()) return;
    this.#upload ??= new Fence(gl);
    this.#upload.wait((ms) => {
      this.#uploadMs = ms;
    });
  }

  #arrived() {
    return this.#upload?.passed ?? true;
  }

  /** Whether drawing would wait for an upload. */
  get #uploading() {
    return !this.#arrived() && this.#uploadMs > QUICK_MS;
  }

  #next() {
    if (this.#coming) return;
    this.#coming = true;
    this.#nv.canvas.dataset.whole = 'false';
    requestAnimationFrame(() => {
      this.#coming = false;
      const whole = this.#advance();
      if (whole) this.#nv.canvas.dataset.whole = 'true';
      else this.#next();
    });
  }

  #applyWindow() {
    const [volume] = this.#nv.volumes;
    if (this.#windowing && volume) {
      this.#nv.refreshLayers(volume, 0);
      this.#stale = true;
    }
    this.#windowing = false;
  }

  /** Does what this frame has room for. Gives whether all that is to be seen is drawn. */
  #advance() {
    if (this.#uploading) return false;
    this.#applyWindow();
    if (this.#uploading) return false;
    if (this.#solid?.busy) return false;
    // A piece has a frame of its own, and its turn while everything is drawn again and again.
    const picks = this.#nv.uiData.mouseDepthPicker;
    if (this.#unfinished && !picks && (!this.#stale || this.#turn)) {
      this.#turn = false;
      const piece = this.#solid?.step();
      this.#unfinished = piece === 'more';
      this.#stale ||= piece === 'shown';
      return !this.#unfinished && !this.#stale && !this.#solid?.busy;
    }
    this.#turn = true;
    if (this.#stale) this.#draw();
    // The device is looked at until it has done everything: how long that takes decides what is drawn at once.
    return !this.#unfinished && !this.#solid?.busy && this.#arrived();
  }

  /** Draws everything now. */
  #draw() {
    this.#stale = false;
    this.#unfinished = false;
    Niivue.prototype.drawScene.call(this.#nv);
    this.#hooks.onDrawn();
  }
}
