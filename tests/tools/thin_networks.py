#!/usr/bin/env python3
"""Copies reference files of networks with fewer samples of each stage and in single precision, which is what the project keeps.

usage: tests/tools/thin_networks.py SAMPLES IN... OUT_FOLDER   (needs `pip install safetensors numpy`)
"""
import os, sys

import numpy
from safetensors import safe_open
from safetensors.numpy import save_file


def main():
    most, *sources, folder = sys.argv[1:]
    for source in sources:
        with safe_open(source, "np") as file:
            metadata = {**file.metadata(), "samples": most}
            sampled = lambda name: name.split(".")[0] in ("stage", "logits", "train")
            tensors = {
                name: file.get_tensor(name)[: int(most) if sampled(name) else None].astype(numpy.float32)
                for name in sorted(file.keys())
            }
        save_file(tensors, os.path.join(folder, os.path.basename(source)), metadata)


if __name__ == "__main__":
    main()
