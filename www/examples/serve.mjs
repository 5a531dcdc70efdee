// Bundles the examples and serves them on this machine only.
import { fileURLToPath } from 'node:url';
import { serve } from '../tests/server.mjs';
import { NAMES, examples } from './build.mjs';

const folder = fileURLToPath(new URL('../tests/out/examples', import.meta.url));
await examples(folder);
const { url } = await serve({ port: Number(process.env.PORT ?? 8732), folder });
console.log(NAMES.map((name) => `${url}/${name}/`).join('\n'));
