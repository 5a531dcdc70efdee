#!/usr/bin/env python3
"""Copies reference files of networks with fewer samples of each stage and in single precision, which is what the project keeps.
Of a tensor that nnU-Net's state dicts store under several names, bounds are kept under the last, whose values it has.

usage: tests/tools/thin_networks.py SAMPLES IN... OUT_FOLDER   (needs `pip install safetensors numpy`)
"""
import json, os, re, sys

import numpy
from safetensors import safe_open
from safetensors.numpy import save_file


def first_name(name):
    name = re.sub(r"^decoder\.encoder\.", "encoder.", name)
    return name.replace(".all_modules.0.", ".conv.").replace(".all_modules.1.", ".norm.")


def once(parameters):
    last = {first_name(name): (name, bounds) for name, bounds in json.loads(parameters).items()}
    return json.dumps(dict(last.values()))


def main():
    most, *sources, folder = sys.argv[1:]
    for source in sources:
        with safe_open(source, "np") as file:
            metadata = {**file.metadata(), "samples": most}
            metadata["parameters"] = once(metadata["parameters"])
            sampled = lambda name: name.split(".")[0] in ("stage", "logits", "train")
            tensors = {
                name: file.get_tensor(name)[: int(most) if sampled(name) else None].astype(numpy.float32)
                for name in sorted(file.keys())
            }
        save_file(tensors, os.path.join(folder, os.path.basename(source)), metadata)


if __name__ == "__main__":
    main()
