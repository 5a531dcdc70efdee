"""MONAI's DiceCELoss with weights of classes: value, its two parts and the gradient of the logits, in double precision.

    python3 class_weights.py tests/golden/class-weights.safetensors

Needs torch, monai, numpy and safetensors. The tests only need the file.
"""

import json
import sys

import numpy
import torch
from monai.losses import DiceCELoss
from safetensors.numpy import save_file

PLAIN = {"include_background": True, "squared_pred": False, "batch": False, "smooth_nr": 1e-5, "smooth_dr": 1e-5}
# Name: activation, classes, channels of the label, weights, what differs from PLAIN.
SETTINGS = {
    "softmax": ("softmax", 3, 1, [0.2, 1.0, 2.5], {}),
    "batch_squared": ("softmax", 4, 1, [1.0, 0.0, 3.0, 0.5], {"batch": True, "squared_pred": True}),
    "no_background": ("softmax", 3, 1, [0.2, 1.5, 0.7], {"include_background": False}),
    "one_class_left": ("softmax", 2, 1, [0.3, 4.0], {"include_background": False}),
    "sigmoid_shares": ("sigmoid", 3, 3, [0.5, 1.0, 2.0], {}),
    "one_class": ("sigmoid", 1, 1, [3.0], {}),
}


def main(path):
    tensors, metadata = {}, {}
    generator = numpy.random.default_rng(1)
    for name, (activation, classes, channels, weights, changes) in SETTINGS.items():
        options = {**PLAIN, **changes}
        logits = generator.normal(0, 2, (2, classes, 4, 3, 2)).astype(numpy.float32)
        most = 2 if channels == classes else classes
        label = generator.integers(0, most, (2, channels, 4, 3, 2)).astype(numpy.uint8)
        x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        target = torch.tensor(label, dtype=torch.float64)
        kinds = {activation: True, "to_onehot_y": channels != classes}
        loss = DiceCELoss(**kinds, **options, weight=torch.tensor(weights, dtype=torch.float64))
        entropy = loss.ce(x, target) if classes > 1 else loss.bce(x, target)
        parts = [loss.dice(x, target).item(), entropy.item()]
        value = loss(x, target)
        value.backward()
        made = {"loss": [value.item()], "parts": parts, "grad": x.grad.numpy(), "weights": weights}
        tensors |= {f"{name}.{key}": numpy.asarray(v, numpy.float32) for key, v in made.items()}
        tensors |= {f"{name}.logits": logits, f"{name}.label": label}
        metadata[name] = f"DiceCELoss {activation} {json.dumps(options)}"
    save_file(tensors, path, metadata)


main(sys.argv[1])
