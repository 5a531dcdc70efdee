// Compute pipelines made ahead. The module's own call to make one waits for the compiler, in the browser's GPU process, and
// everything that draws waits behind it: on a software adapter for twenty seconds. The asynchronous call waits for nothing.
import { UnetrError, reasonOf, throwIfAborted } from './errors.js';

/** Compilers use every core; some are left for those who draw. */
const AT_ONCE = Math.max(1, Math.min(4, (globalThis.navigator?.hardwareConcurrency ?? 2) >> 1));
/** @type {GPUBufferBindingLayout} */
const UNIFORM = { type: 'uniform' };
/** @type {Record<'read' | 'write', GPUBufferBindingLayout>} */
const BUFFERS = { read: { type: 'read-only-storage' }, write: { type: 'storage' } };

/**
 * @typedef {object} PipelineSource A pipeline as the module lists it.
 * @property {string} label
 * @property {string} code
 * @property {string} entry
 * @property {('read' | 'write')[]} bindings
 */

/** The pipelines of one device that are made and not yet asked for, and those under way, by label. */
export class Pipelines {
  /** @type {GPUDevice} */
  device;
  /** @type {Map<string | undefined, { module: GPUShaderModule, pipeline: GPUComputePipeline }>} */
  #made = new Map();
  /** @type {Map<string, Promise<void>>} */
  #making = new Map();
  /**
   * Labels of those that were asked for: the module keeps them as long as the device.
   * @type {Set<string | undefined>}
   */
  #given = new Set();

  /**
   * From now on the device gives what was made ahead under the label that it is asked for.
   * @param {GPUDevice} device
   */
  constructor(device) {
    this.device = device;
    const { createShaderModule, createComputePipeline } = device;
    device.createShaderModule = (descriptor) => this.#made.get(descriptor.label)?.module ?? createShaderModule.call(device, descriptor);
    device.createComputePipeline = (descriptor) => {
      const made = this.#made.get(descriptor.label);
      this.#made.delete(descriptor.label);
      this.#given.add(descriptor.label);
      return made?.pipeline ?? createComputePipeline.call(device, descriptor);
    };
  }

  /**
   * Makes what is missing of a list; `tick` hears of each.
   * @param {PipelineSource[]} list
   * @param {AbortSignal} [signal]
   * @param {(done: number, total: number) => void} [tick]
   */
  async make(list, signal, tick = () => {}) {
    const missing = list.filter(({ label }) => !this.#made.has(label) && !this.#given.has(label));
    if (missing.length === 0) return;
    let next = 0;
    let done = 0;
    tick(0, missing.length);
    const work = async () => {
      try {
        while (next < missing.length) {
          throwIfAborted(signal);
          const source = missing[next];
          next += 1;
          await this.#one(source);
          done += 1;
          tick(done, missing.length);
        }
      } finally {
        // One that ended early ends the others.
        next = missing.length;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  /**
   * One pipeline, made once however many wait for it.
   * @param {PipelineSource} source
   */
  async #one(source) {
    const { label } = source;
    // Another who needed it may have got it meanwhile.
    if (this.#made.has(label) || this.#given.has(label)) return;
    if (!this.#making.has(label)) this.#making.set(label, this.#compile(source).finally(() => this.#making.delete(label)));
    await this.#making.get(label);
  }

  /** @param {PipelineSource} source */
  async #compile({ label, code, entry, bindings }) {
    const { device } = this;
    const module = device.createShaderModule({ label, code });
    const { GPUShaderStage } = /** @type {any} */ (globalThis);
    const entries = [UNIFORM, ...bindings.map((access) => BUFFERS[access])]
      .map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
    const layout = device.createPipelineLayout({ label, bindGroupLayouts: [device.createBindGroupLayout({ label, entries })] });
    try {
      const pipeline = await device.createComputePipelineAsync({ label, layout, compute: { module, entryPoint: entry } });
      this.#made.set(label, { module, pipeline });
    } catch (error) {
      const lost = await Promise.race([device.lost, null]);
      if (lost) throw new UnetrError('device-lost', `the GPU device was lost: ${lost.message || lost.reason}. Run again`, { cause: error });
      throw new UnetrError('internal', `the browser does not compile the kernel ${label}: ${reasonOf(error)}`, { cause: error });
    }
  }
}
