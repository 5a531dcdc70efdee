// Chromium with SwiftShader as its GPU.
import { chromium } from 'playwright-core';

const ARGUMENTS = [
  '--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-quic', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader',
];

export function launch(more = []) {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: [...ARGUMENTS, ...more] });
}

/** A page stands still while SwiftShader compiles shaders, so no wait measures how fast it is. */
const PATIENCE_MS = 180_000;

/** A page that fails the test on any uncaught error or violation of the content security policy. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  await page.goto(url);
  return { page, problems, context };
}
