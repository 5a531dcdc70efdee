"""MONAI's UNETR in training with dropout: loss and gradients, in double precision, where the masks of `torch.nn.Dropout` are
those that this project's kernels make.

    python3 dropout.py tests/golden/adamw.safetensors tests/golden/dropout.safetensors

Weights, input and label are those of the first file, by the formula in `networks.py`. Needs torch, monai, numpy and safetensors. The tests only need the file.
"""

import json
import sys

import networks
import numpy
import torch
from monai.networks.nets import UNETR
from safetensors import safe_open
from safetensors.numpy import save_file

RATE, SEED, STEP = 0.25, 2026, 7


def word(value):
    """PCG's output permutation of 32-bit words."""
    state = (value * 747796405 + 2891336453) & 0xFFFFFFFF
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & 0xFFFFFFFF
    return (word >> 22) ^ word


def seed(place):
    """The upper half of splitmix64's number of this place, counted from 1."""
    z = (SEED + place * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return (z ^ (z >> 31)) >> 32


class Mask(torch.nn.Module):
    """Dropout as place `count` of the network's run has it."""

    count = 0

    def forward(self, x):
        Mask.count += 1
        key = word(seed(Mask.count) ^ word(STEP))
        bits = word(numpy.arange(x.numel(), dtype=numpy.uint64) ^ numpy.uint64(key))
        keep = torch.from_numpy((bits >> numpy.uint64(8)).astype(numpy.float64) / 2**24 >= RATE)
        return x * keep.reshape(x.shape) / (1 - RATE)


def replace(module):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Dropout):
            setattr(module, name, Mask())
        else:
            replace(child)


def main(source, path):
    with safe_open(source, "np") as file:
        config = json.loads(file.metadata()["config"])
    image, label, objective = networks.case(config)
    start = networks.network(config)[0].state_dict()
    names = ["in_channels", "out_channels", "img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads"]
    network = UNETR(**{name: config[name] for name in names}, dropout_rate=RATE).double().train()
    network.load_state_dict(start)
    replace(network)
    loss = objective(network(image), label)
    loss.backward()
    assert Mask.count == 1 + 4 * 12, Mask.count
    rows = []
    for parameter in network.parameters():
        if parameter.grad is not None:
            gradient = parameter.grad.numpy().ravel()
            sample = gradient[:: -(-gradient.size // 8)]
            rows.append(numpy.pad([numpy.linalg.norm(gradient), *sample], (0, 8 - sample.size)))
    tensors = {"loss": numpy.array([loss.item()], numpy.float32), "gradients": numpy.array(rows, numpy.float32)}
    save_file(tensors, path, {"rate": str(RATE), "seed": str(SEED), "step": str(STEP)})


main(*sys.argv[1:])
