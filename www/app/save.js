// Everything that a result can be saved as.
import { PRESETS } from './viewer/window.js';
import { pictureFile } from './viewer/picture.js';
import { glb, stl } from './viewer/mesh-files.js';
import { save } from './format.js';

/** @typedef {import('./session.js').Session} Session */

/** The files that go with a result: those of the run, or, once labels were corrected, those made anew of them. @param {Session} session */
async function files(session) {
  const { state } = session;
  const { result } = state;
  if (!result) return null;
  const { run } = result;
  if (!result.corrected && run) {
    return { nifti: result.nifti, csv: run.statisticsCsv(), json: run.statisticsJson(), record: run.provenance };
  }
  if (!session.segmenter || state.model?.facts.sha256 !== result.sha256) {
    return result.corrected ? null : { nifti: result.nifti, csv: result.csv ?? null, json: null, record: null };
  }
  const amended = await session.segmenter.amend(result.scan.files, result.labels, { series: result.scan.series, corrected: result.corrected });
  return { nifti: amended.toNifti(), csv: amended.statisticsCsv(), json: amended.statisticsJson(), record: amended.provenance };
}

/** @param {Session} session @param {string} what */
export async function saveAs(session, what) {
  const { state } = session;
  const { result, scan } = state;
  const stem = (result?.scan ?? scan)?.stem ?? 'scan';
  if (what === 'picture') {
    save(await picture(session), `${stem}_view.png`, 'image/png');
    return;
  }
  if (!result) return;
  if (what === 'stl' || what === 'glb') {
    const shown = session.surfaces.filter((s) => state.alone === null || s.value === state.alone);
    if (what === 'stl') save(stl(shown), `${stem}_labels.stl`, 'model/stl');
    else save(glb(shown, result.table), `${stem}_labels.glb`, 'model/gltf-binary');
    return;
  }
  if (what === 'uncertainty') {
    save(/** @type {any} */ (result.run?.uncertaintyToNifti()), `${stem}_uncertainty.nii.gz`, 'application/gzip');
    return;
  }
  const made = await files(session);
  if (!made) {
    session.say(`These labels were made by ${result.model}: choose that model again to save them with their numbers.`);
    return;
  }
  const mark = result.corrected ? '_corrected' : '';
  const kinds = /** @type {Record<string, [any, string, string]>} */ ({
    labels: [made.nifti, `${stem}_labels${mark}.nii.gz`, 'application/gzip'],
    csv: [made.csv, `${stem}_statistics${mark}.csv`, 'text/csv'],
    json: [made.json, `${stem}_statistics${mark}.json`, 'application/json'],
    record: [made.record && JSON.stringify(made.record, null, 2), `${stem}_record${mark}.json`, 'application/json'],
  });
  const [content, name, type] = kinds[what];
  if (!content) return;
  save(content, name, type);
  if (what === 'labels' && session.state.result === result) session.store.set({ result: { ...result, saved: true } });
}

/** @param {Session} session */
function picture({ viewer, state }) {
  if (!viewer) throw new Error('there is no picture');
  const { result, scan, view, comparison, alone } = state;
  const rows = (result?.table ?? []).filter((l) => alone === null || l.value === alone).map(({ value, name, color }) => ({
    name, color, ml: result?.statistics.find((s) => s.value === value)?.volume_ml ?? 0,
  }));
  const grey = view.window && `Level ${Number(view.window.level.toPrecision(4))}, width ${Number(view.window.width.toPrecision(4))}${PRESETS.some((p) => p.name === view.window?.preset) ? ` (${view.window.preset})` : ''}.`;
  const side = view.radiological ? "Radiological convention: the patient's right is on the left." : "Neurological convention: the patient's left is on the left.";
  const made = result && `Labels by ${result.model}${result.corrected ? ', corrected by hand' : ''}. ${comparison ? `Dashed: ${comparison.name}.` : ''}${result.run?.uncertainty && view.uncertainty ? ' Black to yellow: uncertainty, 0 to 1.' : ''}`;
  return pictureFile(viewer.picture(), {
    title: scan?.name ?? '', rows,
    lines: [[made, side, grey].filter(Boolean).join(' '), `Research use only. Not a medical device. ${new Date().toISOString().slice(0, 10)}`],
  });
}
