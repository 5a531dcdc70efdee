import js from '@eslint/js';

const browser = Object.fromEntries([
  'AbortController', 'AbortSignal', 'Blob', 'BroadcastChannel', 'CSSStyleSheet', 'CustomEvent', 'EventTarget', 'MessageChannel', 'MessageEvent', 'CompressionStream', 'DecompressionStream', 'Event', 'File', 'FileSystemFileHandle', 'GPUAdapter', 'GPUBuffer',
  'GPUBufferUsage', 'GPUMapMode', 'GPUDevice', 'GPUQueue', 'GPUShaderStage', 'HTMLInputElement', 'MutationObserver', 'Path2D', 'Request', 'ResizeObserver', 'Response', 'TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams', 'WebAssembly', 'Worker',
  'addEventListener', 'cancelAnimationFrame', 'scrollTo', 'caches', 'clearTimeout', 'clients', 'console', 'createImageBitmap', 'crypto', 'customElements', 'document', 'fetch', 'getSelection', 'indexedDB',
  'innerHeight', 'innerWidth', 'localStorage', 'location', 'matchMedia', 'navigator', 'performance', 'postMessage', 'requestAnimationFrame', 'self', 'setInterval', 'clearInterval', 'setTimeout', 'skipWaiting',
  'structuredClone', '__FILES__', '__VERSION__',
].map((name) => [name, 'readonly']));

export default [
  { ignores: ['dist/', 'pkg/', 'node_modules/', 'tests/out/', 'bindgen/', 'api/site/'] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 'latest', sourceType: 'module', globals: browser },
    rules: {
      eqeqeq: 'error', 'no-var': 'error', 'prefer-const': ['error', { destructuring: 'all' }], 'no-shadow': 'off', 'no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      'no-implicit-coercion': 'off', 'no-eval': 'error', 'no-implied-eval': 'error', 'no-promise-executor-return': 'off', 'object-shorthand': 'error',
    },
  },
  {
    files: ['*.mjs', '*.js', 'tests/**', 'examples/*.mjs', 'bench/**'],
    languageOptions: { globals: { ...browser, process: 'readonly', Buffer: 'readonly', globalThis: 'readonly', getComputedStyle: 'readonly', PerformanceObserver: 'readonly', dispatchEvent: 'readonly', DataTransfer: 'readonly', Navigator: 'readonly', atob: 'readonly', btoa: 'readonly', caches: 'readonly' } },
  },
];
