// What is done with files that were dropped or chosen.
import { sort, unpacked } from './files.js';
import { labelsFor, pick } from './pickers.js';
import { choose } from './choose.js';
import { plural } from './format.js';
import { severalFiles } from './model-files.js';

/** @typedef {import('./session.js').Session} Session */

export class Opener {
  /** @param {Session} session @param {import('./queue.js').Queue} queue */
  constructor(session, queue) {
    this.session = session;
    this.queue = queue;
  }

  /** @param {File[]} given */
  async open(given) {
    if (given.length === 0) return;
    const { session } = this;
    try {
      // Before anything is unpacked: the module reads a zip by itself.
      const several = await severalFiles(given);
      const { model, fields, scans } = several ? { model: undefined, fields: undefined, scans: [] } : sort(await unpacked(given));
      const name = (several ?? model ?? scans[0])?.name;
      if (!name || !(await session.mayOpen(name))) return;
      const entry = several ?? (model && (await entryOf(model, fields)));
      if (entry) {
        // Without WebGPU there is nothing to load a model on; scans are still looked at.
        if (!session.state.support?.webgpu) {
          session.say(`${name} cannot be loaded: ${session.state.support?.reason}`);
          return;
        }
        // A scan is not to be segmented with another model than the one that came with it.
        if (!(await session.openModel(entry))) return;
      }
      if (scans.length > 0) {
        await session.needModel();
        await this.#scans(scans);
      }
    } catch (error) {
      session.complain(error, given);
    }
  }

  /** @param {File[]} files */
  async #scans(files) {
    const { session } = this;
    const { scan, result } = session.state;
    const use = await labelsFor(files, scan, result !== null);
    if (use === null) return;
    if (use === 'compare') {
      await session.compare(files[0]);
      return;
    }
    if (use === 'draw') {
      await session.drawReference(files[0], result?.table);
      return;
    }
    const name = files.length === 1 ? files[0].name : plural(files.length, 'file');
    /** @type {import('./session.js').Found[] | null} */
    let several = null;
    await session.openScan(async () => {
      const picked = await pick(files, session.state.model?.facts.input.channels ?? ['scan']);
      if (!picked) return null;
      if ('scan' in picked) return picked.scan;
      several = picked.scans;
      return null;
    }, name);
    if (several) await this.#several(several);
  }

  /** @param {import('./session.js').Found[]} scans */
  async #several(scans) {
    const answer = await choose({
      title: plural(scans.length, 'scan'), text: 'They can be segmented one after the other: volumes of all in one table, labels of each to be looked at and saved.',
      choices: [['list', `Segment all ${scans.length}`], ['first', 'Open the first only']],
    });
    if (answer === 'first') await this.session.openScan(async () => scans[0], scans[0].files[0].name);
    if (answer === 'list') await this.queue.add(scans);
  }
}

/** @param {File} model @param {File | undefined} fields */
async function entryOf(model, fields) {
  /** @type {import('./state.js').ModelEntry} */
  const entry = { model, name: model.name, bytes: model.size };
  if (!fields) return entry;
  try {
    entry.fields = JSON.parse(await fields.text());
  } catch (error) {
    throw new Error(`${fields.name}: ${/** @type {Error} */ (error).message}`, { cause: error });
  }
  return entry;
}
