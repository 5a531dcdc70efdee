// As much of DICOMweb as a viewer needs to show one series: QIDO-RS, WADO-RS, and STOW-RS that keeps what it is sent.
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const STUDY = ['00080020', '00080050', '0020000D', '00100010', '00100020', '00080061', '00081030'];
const SERIES = ['0020000D', '0020000E', '00080060', '0008103E', '00200011'];

/**
 * An `answer` for a test's server, for addresses below `/dicomweb`, of the files of a series, name -> bytes.
 * `stored` are the objects that were sent.
 */
export function dicomweb(files) {
  const instances = Object.values(files).map((bytes) => {
    const { dict } = DicomMessage.readFile(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const pixels = Buffer.from(dict['7FE00010'].Value[0]);
    delete dict['7FE00010'];
    const more = {
      '00080020': ['DA', '20260101'], '00080050': ['SH', '1'], '00100010': ['PN', { Alphabetic: 'Test^Sample' }], '00100020': ['LO', 'T1'], '00080061': ['CS', 'MR'],
      '00081030': ['LO', 'Test'], '00200011': ['IS', 1], '00280008': ['IS', 1], '00083002': ['UI', '1.2.840.10008.1.2.1'],
    };
    for (const [tag, [vr, value]] of Object.entries(more)) dict[tag] = { vr, Value: [value] };
    return { uid: dict['00080018'].Value[0], json: dict, pixels };
  });
  const first = instances[0].json;
  const pick = (tags) => Object.fromEntries(tags.map((tag) => [tag, first[tag]]));
  const stored = [];

  async function answer(request, response, path) {
    if (!path.startsWith('/dicomweb')) return false;
    const json = (value) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(value)); };
    const parts = path.split('/').slice(2);
    if (request.method === 'POST') {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const start = body.indexOf('\r\n\r\n') + 4;
      const boundary = /boundary="?([^";]+)/.exec(request.headers['content-type'])[1];
      const part = body.subarray(start, body.lastIndexOf(`\r\n--${boundary}`));
      stored.push(DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(part.buffer.slice(part.byteOffset, part.byteOffset + part.length)).dict));
      json({});
    } else if (parts.at(-1) === 'metadata') json(instances.map((i) => i.json));
    else if (parts.includes('frames')) {
      const instance = instances.find(({ uid }) => uid === parts[parts.indexOf('instances') + 1]);
      const head = '--part\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n';
      response.writeHead(200, { 'content-type': 'multipart/related; type="application/octet-stream"; boundary=part' })
        .end(Buffer.concat([Buffer.from(head), instance.pixels, Buffer.from('\r\n--part--\r\n')]));
    } else if (parts.at(-1) === 'instances') json(instances.map((i) => i.json));
    else if (parts.at(-1) === 'series') json([{ ...pick(SERIES), '00201209': { vr: 'IS', Value: [instances.length] } }]);
    else if (parts.at(-1) === 'studies') json([{ ...pick(STUDY), '00201206': { vr: 'IS', Value: [1] }, '00201208': { vr: 'IS', Value: [instances.length] } }]);
    else response.writeHead(404).end();
    return true;
  }
  return { answer, stored };
}
