"""MONAI's generalised Dice, Tversky and focal losses, alone and together: value and gradient of the logits, in double precision.

    python3 other_losses.py tests/golden/other-losses.safetensors

Needs torch, monai, numpy and safetensors. The tests only need the file.
"""

import json
import sys

import numpy
import torch
from monai import losses
from safetensors.numpy import save_file

REGIONS = {"include_background": True, "batch": False, "smooth_nr": 1e-5, "smooth_dr": 1e-5}
FOCAL = {"include_background": True, "gamma": 2.0, "alpha": None}
# Name: class, activation, classes, channels of the label, weights, what differs from the settings above.
SETTINGS = {
    "generalised": ("GeneralizedDiceLoss", "softmax", 4, 1, None, {"w_type": "square"}),
    "generalised_batch": ("GeneralizedDiceLoss", "softmax", 3, 1, None, {"w_type": "simple", "batch": True}),
    "generalised_foreground": ("GeneralizedDiceLoss", "softmax", 4, 1, None, {"w_type": "square", "include_background": False}),
    "generalised_sigmoid": ("GeneralizedDiceLoss", "sigmoid", 3, 3, None, {"w_type": "uniform"}),
    "generalised_focal": ("GeneralizedDiceFocalLoss", "softmax", 3, 1, [0.5, 1.0, 2.0], {"w_type": "square", "gamma": 2.0}),
    "tversky": ("TverskyLoss", "softmax", 4, 1, None, {"alpha": 0.3, "beta": 0.7, "include_background": False}),
    "tversky_batch": ("TverskyLoss", "sigmoid", 2, 2, None, {"alpha": 0.6, "beta": 0.1, "batch": True}),
    "focal": ("FocalLoss", "sigmoid", 3, 3, [0.5, 1.0, 2.0], {"gamma": 1.5, "alpha": 0.3}),
    "focal_softmax": ("FocalLoss", "softmax", 4, 1, [0.5, 1.0, 2.0, 0.0], {"alpha": 0.25, "use_softmax": True}),
    "dice_focal": ("DiceFocalLoss", "softmax", 3, 1, [0.2, 1.0, 2.5], {"gamma": 2.0, "squared_pred": True}),
    "dice_focal_foreground": ("DiceFocalLoss", "softmax", 4, 1, None, {"gamma": 3.0, "alpha": 0.6, "include_background": False}),
}  # fmt: skip


def main(path):
    tensors, metadata = {}, {}
    generator = numpy.random.default_rng(2)
    for name, (kind, activation, classes, channels, weights, changes) in SETTINGS.items():
        options = (FOCAL if kind == "FocalLoss" else REGIONS) | changes
        # MONAI turns to single precision in its focal loss: numbers that this can hold.
        logits = generator.normal(0, 2, (2, classes, 4, 3, 2)).astype(numpy.float32)
        most = 2 if channels == classes else classes
        label = generator.integers(0, most, (2, channels, 4, 3, 2)).astype(numpy.uint8)
        if name == "generalised":
            # A class that a sample lacks.
            label[0][label[0] == 2] = 1
        x = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        kinds = {"to_onehot_y": channels != classes} | ({} if kind == "FocalLoss" else {activation: True})
        if weights:
            of = [w for w in weights[0 if options["include_background"] else 1 :]]
            kinds["weight"] = torch.tensor(of, dtype=torch.float64)
            tensors[f"{name}.weights"] = numpy.asarray(weights, numpy.float32)
        value = getattr(losses, kind)(**kinds, **options)(x, torch.tensor(label, dtype=torch.float64))
        value.backward()
        tensors |= {f"{name}.loss": numpy.asarray([value.item()], numpy.float32), f"{name}.grad": x.grad.numpy().astype(numpy.float32)}
        tensors |= {f"{name}.logits": logits, f"{name}.label": label}
        metadata[name] = f"{kind} {activation} {json.dumps(REGIONS | options)}"
    save_file(tensors, path, metadata)


main(sys.argv[1])
