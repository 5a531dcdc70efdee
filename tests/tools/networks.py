"""UNETRs of MONAI as reference values in kilobytes: weights and inputs by a formula, results sampled, gradients by projections.

    python3 networks.py tests/golden

Needs torch, monai, numpy and safetensors. The tests only need the files. All arithmetic is in double precision.

draw(name, i, lo, hi) = lo + (hi - lo) * (splitmix64(fnv1a64(name) + seed + i) >> 40) / 2^24, wrapping, rounded to float32. Element i of
the parameter `name` has its lo and hi from the metadata's `parameters`; the input is "input" in [-1, 1]; the label of voxel i
floor(draw("label", i, 0, 1) * classes), or with sigmoid draw("label", i, 0, 1) >= 0.5. Samples of a tensor named s lie at
floor(draw64("at." + s, j) * elements), draw64 = (splitmix64 >> 11) / 2^53. A gradient's 18 numbers are its length, its sum, and
sum of p_k[i] * grad[i] for k < 16, where p_k[i] is 1 if bit 63 of splitmix64(fnv1a64("project.k." + name) + seed + i) is 0, else -1.
"""

import json
import sys

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss, DiceLoss
from monai.networks.nets import UNETR
from safetensors.numpy import save_file

SAMPLES = 1024
CLASS = ("in_channels", "out_channels", "img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads", "proj_type", "qkv_bias", "norm_name", "conv_block", "res_block")
SMALL = {"in_channels": 1, "out_channels": 3, "img_size": [32, 16, 16], "feature_size": 2, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
NETWORKS = {
    "unetr-cubic-1to3": {"in_channels": 1, "out_channels": 3, "img_size": [32, 32, 32], "feature_size": 4, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4, "proj_type": "conv", "batch": 1, "seed": 1, "activation": "softmax"},
    "unetr-aniso-4to3-sigmoid": {"in_channels": 4, "out_channels": 3, "img_size": [48, 16, 32], "feature_size": 4, "hidden_size": 18, "mlp_dim": 40, "num_heads": 3, "proj_type": "perceptron", "batch": 2, "seed": 2, "activation": "sigmoid"},
    "unetr-qkvbias-2to14": {"in_channels": 2, "out_channels": 14, "img_size": [16, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 60, "num_heads": 8, "proj_type": "conv", "qkv_bias": True, "batch": 1, "seed": 3, "activation": "softmax"},
    "unetr-affine-noconv": {"in_channels": 1, "out_channels": 5, "img_size": [16, 16, 32], "feature_size": 3, "hidden_size": 12, "mlp_dim": 20, "num_heads": 3, "norm_name": ["instance", {"affine": True}], "conv_block": False, "batch": 1, "seed": 4, "activation": "softmax"},
    "unetr-group-nores": {"in_channels": 1, "out_channels": 5, "img_size": [16, 16, 32], "feature_size": 3, "hidden_size": 12, "mlp_dim": 20, "num_heads": 3, "norm_name": ["group", {"num_groups": 3}], "res_block": False, "batch": 2, "seed": 5, "activation": "softmax"},
}  # fmt: skip
# Kept whole, for `unetr verify --reference` and for what changes one number of it.
WHOLE = {"in_channels": 2, "out_channels": 2, "img_size": [32, 16, 16], "feature_size": 1, "hidden_size": 4, "mlp_dim": 8, "num_heads": 2, "batch": 1, "seed": 6, "activation": "softmax"}


def hash64(name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def bits(name, count, seed):
    with np.errstate(over="ignore"):
        z = np.uint64((hash64(name) + seed + 0x9E3779B97F4A7C15) % 2**64) + np.arange(count, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def draw(name, shape, lo, hi, seed):
    units = (bits(name, int(np.prod(shape)), seed) >> np.uint64(40)).astype(np.float64) / 2**24
    return torch.from_numpy((lo + (hi - lo) * units).astype(np.float32).astype(np.float64).reshape(shape))


def places(name, elements, seed):
    units = (bits(f"at.{name}", min(SAMPLES, elements), seed) >> np.uint64(11)).astype(np.float64) / 2**53
    return np.floor(units * elements).astype(np.int64)


def bounds(name, shape):
    """Ranges that keep activations within a few units."""
    if len(shape) == 1:
        return (-0.2, 0.2) if name.endswith("bias") else (0.5, 1.5)
    if name.endswith("position_embeddings"):
        return (-1.0, 1.0)
    bound = float(np.sqrt(3 / np.prod(shape[1:])))
    return (-bound, bound)


def network(config):
    """The drawn network; its parameters' [shape, lo, hi]; and what tells how near a kink its activations come."""
    net = UNETR(**{k: v for k, v in config.items() if k in CLASS}).double()
    table = {}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            # MONAI 1.6 keeps norms that its UNETR never uses.
            if "norm_cross_attn" in name:
                continue
            lo, hi = bounds(name, parameter.shape)
            table[name] = [list(parameter.shape), lo, hi]
            parameter.copy_(draw(name, list(parameter.shape), lo, hi, config["seed"]))
    nearest = [np.inf]
    for module in net.modules():
        if isinstance(module, torch.nn.LeakyReLU):
            module.register_forward_pre_hook(lambda _, x: nearest.append(float(x[0].detach().abs().min())))
    return net, table, nearest


def case(config):
    """Input, label and loss."""
    shape, seed = [config.get("batch", 1), config["in_channels"], *config["img_size"]], config["seed"]
    image = draw("input", shape, -1, 1, seed)
    if config["activation"] == "sigmoid":
        label = (draw("label", [shape[0], config["out_channels"], *shape[2:]], 0, 1, seed) >= 0.5).double()
        return image, label, DiceLoss(sigmoid=True)
    label = torch.floor(draw("label", [shape[0], 1, *shape[2:]], 0, 1, seed) * config["out_channels"])
    return image, label, DiceCELoss(to_onehot_y=True, softmax=True)


def results(config):
    """Every stage, logits, loss and gradient, of the first seed that keeps away from kinks."""
    net, table, nearest = network(config)
    stages = {}
    watched = ["vit", "vit.patch_embedding", "vit.blocks.3", "vit.blocks.6", "vit.blocks.9", "encoder1", "encoder2", "encoder3", "encoder4", "decoder5", "decoder4", "decoder3", "decoder2", "out"]
    modules = dict(net.named_modules())
    for name in watched:
        keep = lambda _, __, y, name=name: stages.__setitem__(f"stage.{name}", (y[0] if isinstance(y, tuple) else y).detach())
        modules[name].register_forward_hook(keep)
    image, label, loss = case(config)
    image.requires_grad_()
    logits = net(image)
    value = loss(logits, label)
    value.backward()
    if min(nearest) <= 1e-6:
        # Single precision may fall on the other side of a leaky ReLU's kink, where the gradient is another.
        return results(config | {"seed": config["seed"] + 100})
    gradients = {f"grad.{n}": p.grad for n, p in net.named_parameters() if p.grad is not None}
    gradients["grad.input"] = image.grad
    return config, table, stages | {"logits": logits.detach()}, value, gradients


def projected(name, gradient, seed):
    g = gradient.numpy().ravel()
    signs = [1.0 - 2.0 * (bits(f"project.{k}.{name}", g.size, seed) >> np.uint64(63)).astype(np.float64) for k in range(16)]
    return np.array([np.linalg.norm(g), g.sum(), *(p @ g for p in signs)])


def sampled(config, path):
    config, table, stages, value, gradients = results(config)
    seed = config["seed"]
    tensors = {n: t.numpy().ravel()[places(n, t.numel(), seed)].astype(np.float32) for n, t in stages.items()}
    tensors |= {n: projected(n.removeprefix("grad."), g, seed) for n, g in gradients.items()}
    tensors["loss"] = np.array([value.item()])
    shapes = {n: list(t.shape) for n, t in stages.items()}
    shapes["input"] = [config["batch"], config["in_channels"], *config["img_size"]]
    save(tensors, path, config, parameters=table, shapes=shapes, seed=seed)


def save(tensors, path, config, **more):
    about = {"config": json.dumps({"type": "UNETR", **config, "patch_size": 16, "num_layers": 12})}
    about |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in more.items()}
    about["reference"] = f"MONAI 1.6.1 UNETR, PyTorch {torch.__version__}"
    save_file({n: np.ascontiguousarray(t) for n, t in tensors.items()}, path, about)


def whole(config, path):
    config, _, stages, value, gradients = results(config)
    net, image, label = network(config)[0], *case(config)[:2]
    tensors = {f"weight.{n}": p.detach() for n, p in net.named_parameters() if "norm_cross_attn" not in n}
    tensors |= {"input": image, "label": label, "loss": value.detach().reshape(1), **stages, **gradients}
    # It is the logits.
    tensors.pop("stage.out")
    save({n: t.numpy().astype(np.float32) for n, t in tensors.items()}, path, config)


def adamw(path):
    config = {**SMALL, "batch": 2, "seed": 7, "activation": "softmax", "lr": 0.001, "weight_decay": 0.01, "betas": [0.9, 0.999], "eps": 1e-08, "steps": 8}
    net, table, _ = network(config)
    image, label, loss = case(config)
    used = [p for n, p in net.named_parameters() if n in table]
    optimizer = torch.optim.AdamW(used, lr=config["lr"], betas=config["betas"], eps=config["eps"], weight_decay=config["weight_decay"])
    losses = []
    for _ in range(config["steps"]):
        optimizer.zero_grad()
        value = loss(net(image), label)
        losses.append(value.item())
        value.backward()
        optimizer.step()
    print("adamw", losses)
    shapes = {"input": list(image.shape), "label": list(label.shape)}
    save({"losses": np.array(losses, np.float32)}, path, config, parameters=table, shapes=shapes, seed=7)


def windows(path):
    config = {**SMALL, "seed": 8, "activation": "softmax", "roi": [32, 16, 16]}
    net, table, _ = network(config)
    volumes = {"volume": [1, 1, 53, 23, 38], "volume_smaller_than_window": [1, 1, 20, 23, 11]}
    shapes, tensors = dict(volumes), {}
    runs = [("constant", 0.25, "volume", "logits"), *(("gaussian", o, "volume", "logits") for o in (0.25, 0.5, 0.8)), ("gaussian", 0.5, "volume_smaller_than_window", "logits.smaller")]
    for mode, overlap, volume, name in runs:
        name = f"{name}.{mode}.{overlap}"
        with torch.no_grad():
            logits = sliding_window_inference(draw(volume, volumes[volume], -1, 1, 8), config["roi"], 1, net, overlap=overlap, mode=mode, sigma_scale=0.125)
        shapes[name] = list(logits.shape)
        tensors[name] = logits.numpy().ravel()[places(name, logits.numel(), 8)].astype(np.float32)
    save(tensors, path, config, parameters=table, shapes=shapes, seed=8)


def main(folder):
    for name, config in NETWORKS.items():
        print(name)
        sampled(config, f"{folder}/{name}.safetensors")
    whole(WHOLE, f"{folder}/unetr-small.safetensors")
    adamw(f"{folder}/adamw.safetensors")
    windows(f"{folder}/sliding-window.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
