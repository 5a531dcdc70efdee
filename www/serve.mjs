// Serves the built app on this machine only: `npm start`, or `PORT=8000 npm start`.
import { serve } from './tests/server.mjs';

const { url } = await serve({ port: Number(process.env.PORT ?? 8731), folder: process.argv[2] });
console.log(`${url}  (Ctrl-C ends it)`);
