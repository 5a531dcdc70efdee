import { clearModels, listModels, selfTest } from 'unetr-wgpu';
import { $, mib, plural } from './format.js';

/** The dialog that says what this browser gives, and whether it computes right. */
export class Diagnostics {
  /** @type {string[]} */
  #lines = [];
  /** @type {string[]} */
  #tested = [];
  /** @type {AbortController | null} */
  #running = null;

  /** @param {import('unetr-wgpu').Support} support */
  constructor(support) {
    const { adapter, limits } = support;
    this.#lines = [
      `browser    ${navigator.userAgent}`,
      `WebGPU     ${support.webgpu ? 'yes' : `no: ${support.reason}`}`,
    ];
    if (adapter && limits) {
      this.#lines.push(
        `adapter    ${adapter.name}${support.software ? ' (software: runs on the CPU)' : ''}`,
        `vendor     ${adapter.vendor} ${adapter.architecture}`,
        `shader-f16 ${support.shaderF16 ? 'yes' : 'no'} (not needed)`,
        `buffers    ${mib(limits.maxBufferSize)} each, ${mib(limits.maxStorageBufferBindingSize)} bound, ${limits.maxStorageBuffersPerShaderStage} at once`,
        `workgroups ${limits.maxComputeInvocationsPerWorkgroup} invocations, ${limits.maxComputeWorkgroupStorageSize} bytes`,
      );
    }
    $('self-test').disabled = !support.webgpu;
    $('self-test').addEventListener('click', () => this.#test());
    $('copy').addEventListener('click', () => navigator.clipboard.writeText($('diagnostics-text').textContent).then(() => {
      $('copy').textContent = 'Copied';
      setTimeout(() => { $('copy').textContent = 'Copy'; }, 1500);
    }, () => getSelection()?.selectAllChildren($('diagnostics-text'))));
    $('clear-models').addEventListener('click', async () => {
      await clearModels();
      await this.#kept();
    });
    $('diagnostics').addEventListener('close', () => this.#running?.abort());
  }

  /** What the last run tells. @param {import('unetr-wgpu').SegmentationResult} result */
  ran({ timings, plan, device, windowMs, wasmBytes }) {
    this.#note('window', `${windowMs.toFixed(0)} ms of ${plan.roi.join(' × ')}`);
    this.#note('last run', `${plural(plan.windows, 'window')} in ${(timings.totalMs / 1000).toFixed(1)} s on ${device.name}`);
    this.#note('parts', Object.entries(timings).map(([name, ms]) => `${name.replace(/Ms$/, '')} ${ms.toFixed(0)} ms`).join(', '));
    this.#note('memory', `${mib(plan.memory.total)} on the GPU, ${mib(wasmBytes)} of WebAssembly`);
  }

  /** @param {string} name @param {string} text */
  #note(name, text) {
    this.#lines = this.#lines.filter((line) => !line.startsWith(name));
    this.#lines.push(`${name.padEnd(10)} ${text}`);
  }

  async open() {
    this.#write();
    await this.#kept();
    $('diagnostics').showModal();
  }

  #write() {
    $('diagnostics-text').textContent = [...this.#lines, ...this.#tested].join('\n');
  }

  async #kept() {
    const models = await listModels();
    const bytes = models.reduce((sum, m) => sum + m.bytes, 0);
    $('kept-models').textContent = models.length ? `${plural(models.length, 'model')} kept in this browser, ${mib(bytes)}.` : 'No models are kept in this browser.';
    $('clear-models').disabled = models.length === 0;
  }

  async #test() {
    $('self-test').disabled = true;
    this.#running = new AbortController();
    try {
      const report = await selfTest({
        signal: this.#running.signal,
        onProgress: ({ done, total }) => {
          this.#tested = ['', `self-test  ${done} of ${total} kernels…`];
          this.#write();
        },
      });
      this.#tested = ['', `self-test  ${report.ok ? 'every kernel agrees with double precision' : 'FAILED: do not trust results of this adapter'}`];
      for (const k of report.kernels) {
        const worst = k.worstNmse === null ? 'not finite' : k.worstNmse.toExponential(1);
        this.#tested.push(`  ${k.ok ? 'ok    ' : 'FAILED'} ${k.kernel.padEnd(18)} ${String(k.cases).padStart(2)} cases, worst ${worst}`);
        this.#tested.push(...k.failures.map((f) => `         ${f}`));
      }
    } catch (error) {
      const { code, message } = /** @type {any} */ (error);
      this.#tested = code === 'aborted' ? [] : ['', `self-test  ${message}`];
    } finally {
      this.#running = null;
      $('self-test').disabled = false;
      this.#write();
    }
  }
}
