// When the device has done what it was given, and how long that took. It is asked once a frame: waiting for it would stop the
// page.

/** A device that does not tell by then is not waited for any longer. */
const PATIENCE_MS = 20_000;

/** How often the page was hidden: no frames come then, and times tell nothing. */
let hidings = 0;
document.addEventListener('visibilitychange', () => {
  hidings += Number(document.hidden);
});

export class Fence {
  /** @type {WebGL2RenderingContext} */
  #gl;
  /** @type {{sync: WebGLSync, since: number, hidings: number, took: (ms: number) => void} | null} */
  #waiting = null;

  /** @param {WebGL2RenderingContext} gl */
  constructor(gl) {
    this.#gl = gl;
  }

  /** Begins to wait for all that the device was given so far. @param {(ms: number) => void} took hears how long that took, if it is known */
  wait(took) {
    const gl = this.#gl;
    const sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    if (this.#waiting) gl.deleteSync(this.#waiting.sync);
    this.#waiting = sync && { sync, since: performance.now(), hidings, took };
  }

  /** Whether there is nothing to wait for. */
  get passed() {
    if (!this.#waiting) return true;
    const gl = this.#gl;
    const { sync, since, took } = this.#waiting;
    const ms = performance.now() - since;
    const told = gl.getSyncParameter(sync, gl.SYNC_STATUS) === gl.SIGNALED || gl.isContextLost();
    if (!told && ms < PATIENCE_MS) return false;
    const seen = this.#waiting.hidings === hidings;
    gl.deleteSync(sync);
    this.#waiting = null;
    if (seen) took(ms);
    return true;
  }
}
