import { $ } from './format.js';

/** Keeps the page for visits without a network, and offers a newer one when there is. Gives whether it is kept. */
export async function keepOffline() {
  if (!navigator.serviceWorker) return false;
  try {
    const registration = await navigator.serviceWorker.register('sw.js');
    // An earlier visit may have fetched it and not taken it.
    if (registration.waiting) offer(registration.waiting);
    registration.addEventListener('updatefound', () => {
      const coming = registration.installing;
      coming?.addEventListener('statechange', () => { if (coming.state === 'installed') offer(coming); });
    });
    const { active } = await navigator.serviceWorker.ready;
    while (active?.state === 'activating') await new Promise((done) => active.addEventListener('statechange', done, { once: true }));
    await samplesAgain();
    return true;
  } catch {
    // Without it the page needs the network at the next visit; nothing else is lost.
    return false;
  }
}

/** Samples that were loaded before the worker saw what is loaded: asked about again, so that it keeps them. */
async function samplesAgain() {
  const loaded = performance.getEntriesByType('resource').map(({ name }) => new URL(name)).filter((url) => url.origin === location.origin && url.pathname.includes('/samples/'));
  await Promise.all([...new Set(loaded.map(String))].map((address) => fetch(address, { cache: 'no-cache' }).catch(() => null)));
}

/** A newer page: shown when the user wants it, so that no result is lost. @param {ServiceWorker} coming */
function offer(coming) {
  if (!navigator.serviceWorker.controller) return;
  $('update').hidden = false;
  $('update').onclick = () => {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    coming.postMessage('take over');
  };
}
