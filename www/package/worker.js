// The worker of a page. What it does is in service.js.
import { serve } from './service.js';

// A worker's own way of posting is another than a window's.
serve(/** @type {import('./service.js').Port} */ (/** @type {unknown} */ (self)));
