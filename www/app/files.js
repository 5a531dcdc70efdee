// What people drop: files, several files, folders; and which of them are what.

const NOTES = /(\.(json|tsv|csv|txt|md|bvals?|bvecs?)|^(README|CHANGES|LICENSE))$/i;
const NIFTI = /\.(nii|hdr|img)(\.gz)?$/i;

async function walk(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => { entry.file(resolve, reject); })];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A reader gives a hundred entries at a time.
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) return files;
    for (const inner of some) files.push(...await walk(inner));
  }
}

/** All files of a drop, those in folders too, without hidden ones. */
export async function droppedFiles(transfer) {
  const plain = [...transfer.files];
  // The list is emptied as soon as the event is over.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length > 0 ? (await Promise.all(entries.map(walk))).flat() : plain;
  return files.filter(visible);
}

/** Systems hide files of their own in folders. */
export function visible({ name }) {
  return !name.startsWith('.');
}

/** `{model, fields, scan}`: a model or checkpoint, the JSON beside it, and whatever else there is as the scan. */
export function sort(files) {
  const is = (pattern) => (f) => pattern.test(f.name);
  const model = files.find(is(/\.(safetensors|pt|pth|ckpt|bin)$/i));
  const fields = model && files.find(is(/\.json$/i));
  let scan = files.filter((f) => f !== model && f !== fields);
  // Beside NIfTI files folders hold notes and tables, as those of BIDS do. What else there is, the reader names.
  if (!isSeries(scan)) scan = scan.filter((f) => !is(NOTES)(f));
  return { model, fields, scan };
}

/** What is no NIfTI by its name: DICOM, if anything. */
export function isSeries(files) {
  return !files.some((f) => NIFTI.test(f.name));
}

/** A file of this site, by its address. */
export async function fetchFile(address) {
  const url = sameOrigin(address);
  const response = await fetch(url).catch((error) => { throw new Error(`${address}: ${error.message}`); });
  if (!response.ok) throw new Error(`${address}: HTTP ${response.status}`);
  return new File([await response.blob()], decodeURIComponent(url.pathname.split('/').pop()));
}

/** The page talks to nobody else, and its content security policy would not let it. */
export function sameOrigin(address) {
  const url = new URL(address, location.href);
  if (url.origin !== location.origin) {
    throw new Error(`${address}: only files of this site are opened by address; save the file and drop it here`);
  }
  return url;
}
