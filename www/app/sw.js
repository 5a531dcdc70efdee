// Answers for the network: what the page needs is put by at the first visit. Models are not: the package keeps them.
// The two constants are set when the app is built.
const VERSION = __VERSION__;
const FILES = __FILES__;
const NAME = `unetr-app-${VERSION}`;

// What the page has just loaded is asked about, not fetched again.
addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'no-cache' })))));
});

addEventListener('activate', (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith('unetr-app-') && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  })());
});

addEventListener('message', ({ data }) => {
  if (data === 'take over') skipWaiting();
});

addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const cache = await caches.open(NAME);
    // The page is one, whatever scan and model its address names.
    const kept = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
    if (kept) return kept;
    const response = await fetch(request);
    // Other models' samples are kept once they were looked at; models are the package's to keep, and what was lent is nobody's.
    if (response.ok && /\/samples\//.test(new URL(request.url).pathname)) event.waitUntil(cache.put(request, response.clone()));
    return response;
  })());
});
