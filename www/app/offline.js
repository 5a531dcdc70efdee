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
    await navigator.serviceWorker.ready;
    return true;
  } catch {
    // Without it the page needs the network at the next visit; nothing else is lost.
    return false;
  }
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
