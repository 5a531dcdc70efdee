// A network of two levels and a few thousand random weights, for tests of what does not depend on what a model finds: its kernels are
// compiled in a tenth of the time of the shipped ones'.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

import { SHIPPED, root, unetr } from './page.mjs';

/**
 * A state dict as safetensors, and the fields that a package of it needs: a U-Net for these channels that tells so many classes
 * apart; the wider it is, the longer a window takes.
 */
export function tinyNetwork(channels = ['T1', 'FLAIR'], classes = 4, width = 4) {
  const wide = 2 * width;
  // MONAI's names and shapes, and how large the weights are.
  const parameters = {
    'model.0.conv.weight': [[width, channels.length, 3, 3, 3], -0.3, 0.3], 'model.0.conv.bias': [[width], -0.1, 0.1], 'model.0.adn.A.weight': [[1], 0.1, 0.4],
    'model.1.submodule.conv.weight': [[wide, width, 3, 3, 3], -0.2, 0.2], 'model.1.submodule.conv.bias': [[wide], -0.1, 0.1], 'model.1.submodule.adn.A.weight': [[1], 0.1, 0.4],
    'model.2.conv.weight': [[width + wide, classes, 3, 3, 3], -0.3, 0.3], 'model.2.conv.bias': [[classes], -0.1, 0.1],
  };
  const header = {};
  const parts = [];
  let at = 0;
  let seed = 1;
  for (const [name, [shape, low, high]] of Object.entries(parameters)) {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
      seed = (seed * 48_271) % 0x7fffffff;
      return low + (high - low) * (seed / 0x7fffffff);
    });
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + values.byteLength] };
    parts.push(Buffer.from(values.buffer));
    at += values.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const network = { type: 'UNet', in_channels: channels.length, out_channels: classes, channels: [width, wide], strides: [2], num_res_units: 0 };
  const fields = { name: 'tiny', network, input: { channels }, inference: { roi_size: [32, 32, 32] } };
  return { weights: Buffer.concat([length, text, ...parts]), fields };
}

/** A package of it with the shipped model's input and labels: its path and its bytes. */
export function tinyPackage(width = 4) {
  const { version, licence, input, output, inference } = SHIPPED.package;
  const { weights, fields } = tinyNetwork(input.channels, output.labels.length + 1, width);
  return packaged(weights, { ...fields, version, licence, input, output, inference: { ...inference, ...fields.inference } });
}

/** A package of a UNETR of small windows: attention and all the rest. */
export function tinyUnetr() {
  return packaged(readFileSync(`${root}tests/golden/torch-checkpoints/plain-state-dict.pt`), { network: { img_size: [32, 16, 16], num_heads: 2 } });
}

function packaged(weights, fields) {
  const folder = mkdtempSync(`${tmpdir()}/unetr-tiny-`);
  const path = `${folder}/tiny.safetensors`;
  writeFileSync(`${folder}/weights`, weights);
  writeFileSync(`${folder}/package.json`, JSON.stringify(fields));
  execFileSync(unetr, ['import', `${folder}/weights`, '--package', `${folder}/package.json`, '-o', path], { stdio: 'pipe' });
  return { path, bytes: readFileSync(path) };
}
