// Several files that are a model together, on their way into the module.
import { ModelFolder } from './unetr_wgpu.js';
import { UnetrError, reasonOf, release, throwIfAborted } from './errors.js';

/** @import { ImportedModel } from './unetr_wgpu.js' */
/** @import { FolderSource } from './sources.js' */

/** Has the face of a file that must be imported. */
export class Folder {
  #name;
  #files = new ModelFolder();
  #length = 0;

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  /**
   * Reads one file after the other.
   * @param {FolderSource} source
   * @param {AbortSignal | undefined} signal
   * @param {(done: number, total: number) => void} report
   */
  static async read({ name, files }, signal, report) {
    const folder = new Folder(name);
    const total = files.reduce((sum, { blob }) => sum + blob.size, 0);
    try {
      for (const { name: path, blob } of files) {
        throwIfAborted(signal);
        const bytes = await blob.arrayBuffer().catch((error) => {
          // Moved or changed since it was chosen.
          throw new UnetrError('bad-input', `${path} cannot be read (${reasonOf(error)}): choose the folder again`, { cause: error });
        });
        folder.#files.add(path, new Uint8Array(bytes));
        folder.#length += bytes.byteLength;
        report(folder.#length, total);
      }
      throwIfAborted(signal);
      return folder;
    } catch (error) {
      release(folder);
      throw error;
    }
  }

  length() {
    return this.#length;
  }

  /** It is no one file, and has no hash. */
  sha256() {
    return undefined;
  }

  needsImport() {
    return true;
  }

  /**
   * Takes the files, also when it fails.
   * @param {string} [fields]
   * @param {string} [_prefix] is a checkpoint's
   * @returns {ImportedModel}
   */
  import(fields, _prefix) {
    return this.#files.import(this.#name, fields);
  }

  free() {
    this.#files.free();
  }
}
