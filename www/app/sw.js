// Answers for the network: every file of the app is put by at the first visit. Models are not: the package keeps them.
// The two constants are set when the app is built.
const VERSION = __VERSION__;
const FILES = __FILES__;
const NAME = `unetr-app-${VERSION}`;

addEventListener('install', (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' })))));
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
    return (await cache.match(request, { ignoreSearch: request.mode === 'navigate' })) ?? fetch(request);
  })());
});
