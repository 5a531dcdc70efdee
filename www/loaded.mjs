// The files of a folder that its modules load, one a line: `node loaded.mjs FOLDER ENTRY...`.
import { readFileSync } from 'node:fs';

const [folder, ...waiting] = process.argv.slice(2);
const found = new Set();
while (waiting.length > 0) {
  const name = waiting.pop();
  if (found.has(name)) continue;
  found.add(name);
  if (!name.endsWith('.js')) continue;
  // Static and dynamic imports, workers and modules of WebAssembly; those in comments are of types.
  const text = readFileSync(`${folder}/${name}`, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  for (const [, path] of text.matchAll(/(?:from|import|import\(|new URL\()\s*['"](?:\.\/)?([\w.]+\.(?:js|wasm))['"]/g)) waiting.push(path);
}
console.log([...found].sort().join('\n'));
