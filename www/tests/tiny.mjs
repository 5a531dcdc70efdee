// A network of a few thousand random weights, for tests of what does not depend on what a model finds.
import { readFileSync } from 'node:fs';

import { root } from './page.mjs';

/** A state dict as safetensors, and the fields that a package of it needs: a U-Net that takes two channels and finds three labels. */
export function tinyNetwork(channels = ['T1', 'FLAIR']) {
  const reference = readFileSync(`${root}tests/golden/networks/unet-residual.safetensors`);
  const { config, parameters } = JSON.parse(reference.subarray(8, 8 + Number(reference.readBigUInt64LE()))).__metadata__;
  const header = {};
  const parts = [];
  let at = 0;
  let seed = 1;
  for (const [name, [shape, low, high]] of Object.entries(JSON.parse(parameters))) {
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
  const network = { ...JSON.parse(config), spatial_dims: undefined };
  const fields = { name: 'tiny', network, input: { channels }, inference: { roi_size: [32, 32, 32] } };
  return { weights: Buffer.concat([length, text, ...parts]), fields };
}
