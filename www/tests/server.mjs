// A static server for tests: byte ranges, strong tags, a log of requests, and faults on demand.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFile, stat } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.json': 'application/json', '.webmanifest': 'application/manifest+json', '.txt': 'text/plain; charset=utf-8',
};
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'; img-src data:";
const PAGE = '<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">';

/**
 * `/` is the app or another folder, `/page` an empty page, `/isolated` one without its policy, `/repo/...` the repository,
 * and `files` are more by their paths, as paths or bytes; `headers` go with every answer. `answer` may answer by itself, and says so.
 */
export async function serve({ port = 0, folder = join(root, 'www/dist'), files = {}, headers = {}, answer } = {}) {
  const log = [];
  /** Path -> bytes after which the next connection breaks, or a list of them for the next connections. */
  const breaks = new Map();
  /** Path -> `{type, body}`, the next answer in place of the file. */
  const instead = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const entry = { path, range: request.headers.range ?? null, bytes: 0 };
    log.push(entry);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    try {
      if (await answer?.(request, response, path)) return;
      const other = instead.get(path);
      if (other) {
        instead.delete(path);
        response.writeHead(200, { 'content-type': other.type, etag: '"another"' }).end(other.body);
        return;
      }
      if (path === '/page' || path === '/isolated') {
        const policy = path === '/page' ? { 'content-security-policy': CSP } : {};
        response.writeHead(200, { 'content-type': TYPES['.html'], ...policy }).end(PAGE);
        return;
      }
      const given = files[path];
      if (given instanceof Uint8Array) {
        send(request, response, given, extname(path), breaks, entry);
        return;
      }
      const file = given ?? (path.startsWith('/repo/') ? join(root, path.slice(6)) : join(folder, path.endsWith('/') ? `${path}index.html` : path));
      if (!(files[path] || file.startsWith(root) || file.startsWith(folder)) || !(await stat(file)).isFile()) throw new Error('no file');
      send(request, response, await readFile(file), extname(file), breaks, entry);
    } catch {
      response.writeHead(404).end('not found');
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, log, breaks, instead, close: () => server.close() };
}

function send(request, response, bytes, extension, breaks, entry) {
  const { path } = entry;
  const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
  const headers = { 'content-type': TYPES[extension] ?? 'application/octet-stream', etag, 'accept-ranges': 'bytes', 'cache-control': 'no-cache' };
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end();
    return;
  }
  const wanted = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const from = wanted && request.headers['if-range'] === etag ? Number(wanted[1]) : 0;
  if (from > 0) headers['content-range'] = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  headers['content-length'] = bytes.length - from;
  entry.bytes = bytes.length - from;
  response.writeHead(from > 0 ? 206 : 200, headers);
  const [end, ...later] = [breaks.get(path) ?? []].flat();
  if (end === undefined) {
    response.end(bytes.subarray(from));
    return;
  }
  if (later.length > 0) breaks.set(path, later);
  else breaks.delete(path);
  response.write(bytes.subarray(from, from + end), () => setTimeout(() => response.destroy(), 50));
}
