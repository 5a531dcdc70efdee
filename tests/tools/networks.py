"""Small UNETRs of MONAI whose gradients are kept as samples: weights, logits, loss, and some of every gradient.

    python3 networks.py tests/golden

Needs torch, monai, numpy and safetensors. The tests only need the files. Networks and gradients are in double precision.
"""

import json
import sys

import monai
import numpy
import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.networks.nets import UNETR
from safetensors.numpy import save_file

PLACES = 192
NETWORKS = {
    "unetr-aniso-4to3-sigmoid": {
        "in_channels": 4, "out_channels": 3, "img_size": [48, 16, 32], "feature_size": 4, "hidden_size": 18, "mlp_dim": 40,
        "num_heads": 3, "proj_type": "perceptron", "batch": 2, "seed": 2, "activation": "sigmoid",
    },
    "unetr-qkvbias-2to14": {
        "in_channels": 2, "out_channels": 14, "img_size": [16, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 60,
        "num_heads": 8, "proj_type": "conv", "qkv_bias": True, "batch": 1, "seed": 3, "activation": "softmax",
    },
}  # fmt: skip


def f32(tensor):
    return numpy.ascontiguousarray(tensor.detach().numpy().astype(numpy.float32))


def make(config):
    torch.manual_seed(config["seed"])
    sigmoid = config["activation"] == "sigmoid"
    network = UNETR(**{k: v for k, v in config.items() if k not in ("batch", "seed", "activation")}).double()
    with torch.no_grad():
        # Norms start as ones and zeros, which would hide what is forgotten. Rounded as they are stored.
        for parameter in network.parameters():
            parameter.copy_((parameter + 0.03 * torch.randn_like(parameter)).float().double())
    shape = [config["batch"], config["in_channels"], *config["img_size"]]
    image = torch.randn(shape, dtype=torch.float64).float().double().requires_grad_()
    if sigmoid:
        label = (torch.rand([shape[0], config["out_channels"], *shape[2:]]) < 0.3).double()
        loss = DiceLoss(sigmoid=True)
    else:
        label = torch.randint(config["out_channels"], [shape[0], 1, *shape[2:]]).double()
        loss = DiceCELoss(to_onehot_y=True, softmax=True)
    logits = network(image)
    value = loss(logits, label)
    value.backward()
    tensors = {f"weight.{name}": f32(p) for name, p in network.named_parameters()}
    tensors |= {"input": f32(image), "label": f32(label), "logits": f32(logits), "loss": f32(value.reshape(1))}
    gradients = {name: p.grad.numpy().ravel() for name, p in network.named_parameters() if p.grad is not None}
    gradients["input"] = image.grad.numpy().ravel()
    return tensors, gradients


def main(folder):
    samples = {}
    for name, config in NETWORKS.items():
        tensors, gradients = make(config)
        full = {**config, "patch_size": 16, "num_layers": 12}
        about = {"config": json.dumps(full), "source": "MONAI UNETR", "torch": torch.__version__, "monai": monai.__version__}
        save_file(tensors, f"{folder}/{name}.safetensors", about)
        for parameter, gradient in gradients.items():
            sample = gradient[:: -(-gradient.size // PLACES)]
            samples[f"{name}/{parameter}"] = sample.astype(numpy.float32)
        length = numpy.sqrt(sum((g**2).sum() for g in gradients.values()))
        samples[f"{name}/length"] = numpy.array([length], numpy.float32)
    origin = f"every ceil(n/{PLACES})-th element of each gradient, and the length of all gradients together"
    save_file(samples, f"{folder}/gradient-samples.safetensors", {"origin": origin})


main(*sys.argv[1:])
