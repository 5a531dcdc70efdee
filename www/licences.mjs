// The licences of what others wrote and what is shipped: crates from cargo's registry sources, packages from node_modules.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const www = fileURLToPath(new URL('.', import.meta.url));
const TEXT = /^(licen[cs]e|copying|notice|unlicense|copyright)/i;
/** What is built for whom: cargo's words for it. */
const BUILDS = {
  tab: ['--filter-platform', 'wasm32-unknown-unknown', '--no-default-features', '--features', 'dicom'],
  program: [],
};

/** Who holds the rights, as the project says elsewhere. */
const HOLDERS = { '@niivue/niivue': '2021, Niivue' };

/** The texts that lie in a folder. */
function texts(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && TEXT.test(entry.name))
    .map(({ name }) => ({ name, text: readFileSync(`${folder}/${name}`, 'utf8').trim() }));
}

/** For those that name a licence and bring no text of it: the text that the name stands for. */
function standard(licence, authors, name) {
  const holder = HOLDERS[name] ?? (authors?.length > 0 ? authors.join(', ') : `the authors of ${name}`);
  if (/bsd-2-clause/i.test(licence)) return [{ name: 'by its name', text: readFileSync(`${www}licences/BSD-2-Clause.txt`, 'utf8').trim().replace('{holder}', holder) }];
  if (/apache-2\.0/i.test(licence)) return [{ name: 'by its name', text: readFileSync(`${www}../LICENSE-APACHE`, 'utf8').trim() }];
  if (!/\bmit\b/i.test(licence)) throw new Error(`${name}: no text of its licence, ${licence}`);
  return [{ name: 'by its name', text: readFileSync(`${www}../LICENSE-MIT`, 'utf8').trim().replace(/Copyright .*/, `Copyright (c) ${holder}`) }];
}

/** Crates whose code is in this build: those reached by ordinary dependencies, without macros that only run at build time. */
export function crates(build) {
  const json = execFileSync('cargo', ['metadata', '--format-version', '1', '--locked', ...BUILDS[build]], { cwd: `${www}..`, maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] });
  const { packages, resolve } = JSON.parse(json);
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const known = new Map(packages.map((p) => [p.id, p]));
  const reached = new Set([resolve.root]);
  for (const id of reached) {
    for (const { pkg, dep_kinds: kinds } of nodes.get(id).deps) {
      const macro = known.get(pkg).targets.some((t) => t.kind.includes('proc-macro'));
      if (!macro && kinds.some(({ kind }) => kind === null)) reached.add(pkg);
    }
  }
  return [...reached].filter((id) => id !== resolve.root).map((id) => {
    const { name, version, license, license_file: file, repository, authors, manifest_path: path } = known.get(id);
    const found = texts(dirname(path));
    return { name, version, licence: license ?? `see ${file}`, from: repository, texts: found.length > 0 ? found : standard(license ?? '', authors, name) };
  });
}

/** npm packages of which the bundler took something, by its list of inputs. */
export function packages(inputs) {
  const names = new Set(inputs.flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path.slice(path.lastIndexOf('node_modules/')))?.[1] ?? []));
  return [...names].sort().map((name) => {
    const folder = `${www}node_modules/${name}`;
    const { version, license, homepage, repository, author } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const found = texts(folder);
    const authors = [author?.name ?? author].filter(Boolean);
    return { name, version, licence: license, from: homepage ?? repository?.url ?? repository, texts: found.length > 0 ? found : standard(license, authors, name) };
  });
}

/** One text of all: what is in it, then each licence once with those it holds for. */
export function notices(parts) {
  const all = [...new Map(parts.map((p) => [`${p.name} ${p.version}`, p])).values()].sort((a, b) => a.name.localeCompare(b.name));
  const groups = new Map();
  for (const part of all) {
    for (const { name, text } of part.texts) {
      const key = createHash('sha256').update(text.replace(/\s+/g, ' ')).digest('hex');
      const group = groups.get(key) ?? { text, of: [] };
      group.of.push(`${part.name} ${part.version} (${name})`);
      groups.set(key, group);
    }
  }
  const list = all.map((p) => `${p.name} ${p.version}: ${p.licence}${p.from ? `, ${p.from}` : ''}`);
  const rule = '='.repeat(100);
  const bodies = [...groups.values()].map(({ text, of }) => `${rule}\n${of.join('\n')}\n${rule}\n\n${text}\n`);
  return `What others wrote and what is part of this, with the licences under which they gave it.\n\n${list.join('\n')}\n\n${bodies.join('\n')}`;
}

/** As a command: `node www/licences.mjs tab > FILE`. */
if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(notices(crates(process.argv[2] ?? 'tab')));
