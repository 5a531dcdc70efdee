"""Other networks as reference values in kilobytes, in the form that `networks.py` describes.

    python3 tests/tools/sampled_networks.py tests/golden/networks [NAME...]

Needs torch, monai, numpy and safetensors. All arithmetic is in double precision. Stages and logits are of evaluation, loss and
gradients of training, without dropout. Where several levels have heads, the loss is their sum by 1, 1/2, 1/4.. over the sum of these,
labels taken at the nearest voxel.
"""

import json
import re
import sys

import networks
import numpy as np
import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.networks.nets import SegResNet, SegResNetDS
from networks import draw, places, projected
from safetensors.numpy import save_file
from transbts import TransBTS

networks.SAMPLES = 512
PLAIN = ["RELU", {"inplace": False}]
CASES = {
    "segresnet-deconv": (SegResNet, {"init_filters": 8, "in_channels": 2, "out_channels": 3, "act": "PRELU", "norm": ["instance", {"affine": True}], "blocks_down": [1, 0, 2], "blocks_up": [2, 1], "upsample_mode": "deconv"}, [2, 2, 8, 12, 4], 20, "softmax"),
    "segresnet-ds": (SegResNetDS, {"init_filters": 8, "in_channels": 1, "out_channels": 3, "act": PLAIN, "blocks_down": [1, 2, 1], "dsdepth": 2}, [2, 1, 8, 16, 12], 21, "softmax"),
    "segresnet-ds-slices": (SegResNetDS, {"init_filters": 8, "in_channels": 2, "out_channels": 2, "act": PLAIN, "norm": "instance", "blocks_down": [1, 1, 1, 1], "blocks_up": [1, 2, 1], "upsample_mode": "nontrainable", "resolution": [1.0, 0.5, 2.5]}, [1, 2, 16, 24, 6], 22, "sigmoid"),
    "transbts": (TransBTS, {"img_dim": 16, "num_channels": 2, "num_classes": 3, "embedding_dim": 256, "num_heads": 4, "num_layers": 2, "hidden_dim": 48}, [2, 2, 16, 16, 16], 23, "softmax"),
}  # fmt: skip
STAGES = {
    SegResNet: ("convInit", "down_layers.", "up_samples.", "up_layers."),
    SegResNetDS: ("encoder.conv_init", "encoder.layers.", "up_layers."),
    TransBTS: ("Unet.EnBlock", "Unet.EnDown", "position_encoding", "transformer.net.1", "transformer.net.3", "Enblock8_", "DeUp", "DeBlock"),
}
ENDS = {SegResNet: r"\d+|convInit", SegResNetDS: "conv_init|blocks|upsample|downsample"}


def bounds(name, shape, affine):
    """Ranges that keep activations within a few units."""
    if name.endswith("running_var"):
        return (0.5, 1.5)
    if name.endswith("running_mean"):
        return (-0.2, 0.2)
    if name in affine:
        return (-0.05, 0.05) if name.endswith("bias") else (0.9, 1.1)
    if len(shape) == 1:
        return (0.1, 0.4) if ".act" in name or "conv_final.1" in name else (-0.05, 0.05)
    if name.endswith("position_embeddings"):
        return (-0.5, 0.5)
    bound = float(np.sqrt(3 / np.prod(shape[1:])))
    return (-bound, bound)


def drawn(net, seed):
    """Parameters and running averages by their formula, and what tells how near a kink the activations come."""
    norms = (torch.nn.GroupNorm, torch.nn.BatchNorm3d, torch.nn.InstanceNorm3d, torch.nn.LayerNorm)
    affine = {f"{m}.{p}" for m, module in net.named_modules() if isinstance(module, norms) for p in ("weight", "bias")}
    table, nearest = {}, [np.inf]
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked") or name == "act_mod.weight":
            continue
        lo, hi = bounds(name, value.shape, affine)
        table[name] = [list(value.shape), lo, hi]
        value.copy_(draw(name, list(value.shape), lo, hi, seed))
    for module in net.modules():
        if isinstance(module, (torch.nn.ReLU, torch.nn.PReLU)):
            module.register_forward_pre_hook(lambda _, x: nearest.append(float(x[0].detach().abs().min())))
    return table, nearest


def watched(kind, name):
    starts, end = STAGES[kind], ENDS.get(kind)
    last = name.rsplit(".", 1)[-1]
    if not name.startswith(starts) or (name.startswith("up_layers.") and last == "Identity"):
        return False
    if kind is TransBTS:
        return name.count(".") == (0 if name[0] in "pED" else 1 if name[0] == "U" else 2)
    return bool(re.fullmatch(end, last))


def result(kind, config, shape, seed, activation):
    net = kind(**config).double()
    with torch.no_grad():
        table, nearest = drawn(net, seed)
    image = draw("input", shape, -1, 1, seed).requires_grad_()
    classes = config.get("out_channels", config.get("num_classes"))
    if activation == "sigmoid":
        label = (draw("label", [shape[0], classes, *shape[2:]], 0, 1, seed) >= 0.5).double()
        loss = DiceLoss(sigmoid=True)
    else:
        label = torch.floor(draw("label", [shape[0], 1, *shape[2:]], 0, 1, seed) * classes)
        loss = DiceCELoss(to_onehot_y=True, softmax=True)
    stages = {}
    hooks = [
        module.register_forward_hook(lambda _, __, y, name=name: stages.__setitem__(f"stage.{name}", y.detach().clone()))
        for name, module in net.named_modules()
        if watched(kind, name) and not isinstance(module, torch.nn.Identity)
    ]
    net.eval()
    stages["logits"] = net(image).detach()
    [hook.remove() for hook in hooks]
    batched = any(isinstance(module, torch.nn.BatchNorm3d) for module in net.modules())
    heads = net.train()(image)
    heads = heads if isinstance(heads, list) else [heads]
    if batched:
        stages["train.logits"] = heads[0].detach()
    weights = [0.5**i for i in range(len(heads))]
    nearest_label = lambda head: torch.nn.functional.interpolate(label, head.shape[2:])
    value = sum(w * loss(head, nearest_label(head)) for w, head in zip(weights, heads)) / sum(weights)
    value.backward()
    if min(nearest) <= 1e-6:
        # Single precision may fall on the other side of a kink, where the gradient is another.
        return result(kind, config, shape, seed + 100, activation)
    gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None and n in table}
    if isinstance(net, SegResNet) and "conv_final.1.weight" in table:
        # One activation under two names, of which the first is reported.
        gradients["conv_final.1.weight"] = net.act_mod.weight.grad
    return seed, table, stages, value.item(), gradients | {"input": image.grad}


def write(name, folder):
    kind, config, shape, seed, activation = CASES[name]
    seed, table, stages, loss, gradients = result(kind, config, shape, seed, activation)
    place = lambda n, t: places(n.removeprefix("train."), t.numel(), seed)
    tensors = {n: t.numpy().ravel()[place(n, t)].astype(np.float32) for n, t in stages.items()}
    tensors |= {f"grad.{n}": projected(n, g, seed).astype(np.float32) for n, g in gradients.items()}
    tensors["loss"] = np.array([loss], np.float32)
    about = {
        "config": {"type": kind.__name__, **config},
        "parameters": table,
        "shapes": {"input": shape} | {n: list(t.shape) for n, t in stages.items()},
        "formula": networks.__doc__.split("\n\n")[-1],
        "reference": f"{'tests/tools/transbts.py' if kind is TransBTS else 'MONAI 1.6.1'} {kind.__name__}, PyTorch {torch.__version__}",
        "seed": seed,
        "samples": networks.SAMPLES,
        "activation": activation,
    }
    about = {k: v if isinstance(v, str) else json.dumps(v) for k, v in about.items()}
    save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, f"{folder}/{name}.safetensors", about)
    print(name, seed, loss, len(gradients), "gradients", sorted(stages))


if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    for name in names or CASES:
        write(name, folder)
