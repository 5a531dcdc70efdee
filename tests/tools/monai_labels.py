#!/usr/bin/env python3
"""MONAI's labels of a model package over scans, to compare the program with; with labels of experts also its Dice.

A tool beside the project: needs `pip install torch monai nibabel safetensors dynamic-network-architectures`. Networks are MONAI's
UNETR and nnU-Net's PlainConvUNet.

usage: monai_labels.py MODEL.safetensors IMAGE.nii.gz|IMAGES OUT [TRUTH | --logits]

With `--logits` labels by both ways back to the scan's grid, and 2,000 sampled voxels' logits on the model's grid.
"""
import itertools, json, os, sys

import monai, nibabel, numpy as np, torch
from monai.inferers import sliding_window_inference
from monai.metrics import compute_dice
from monai.networks.nets import UNETR
from monai.transforms import (
    Compose, CropForegroundd, EnsureChannelFirstd, Invertd, LoadImaged, NormalizeIntensityd, Orientationd, ScaleIntensityRanged, Spacingd,
)
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file

model, images, out, *truth = sys.argv[1:]
sampled = truth == ["--logits"]
truth = [] if sampled else truth
with safe_open(model, "pt") as file:
    package = json.loads(file.metadata()["unetr"])
network, inputs, inference, labels = package["network"], package["input"], package["inference"], package["output"]["labels"]


def step(arguments):
    """One of `input.steps`."""
    arguments = dict(arguments)
    kind = arguments.pop("transform")
    crop = {"source_key": "image"} if kind == "CropForeground" else {}
    made = {
        "Orientation": Orientationd, "Spacing": Spacingd, "CropForeground": CropForegroundd,
        "NormalizeIntensity": NormalizeIntensityd, "ScaleIntensityRange": ScaleIntensityRanged,
    }
    return made[kind](keys="image", **crop, **arguments)


def fixed():
    """The steps that the four keys of `unetr/1` stand for."""
    intensity = dict(inputs["intensity"])
    kind = {"normalize": "NormalizeIntensity", "scale_range": "ScaleIntensityRange"}[intensity.pop("kind")]
    yield {"transform": "Orientation", "axcodes": inputs["orientation"]}
    if inputs["spacing"] is not None:
        yield {"transform": "Spacing", "pixdim": inputs["spacing"], "mode": "bilinear"}
    yield {"transform": kind, **intensity}
    if inputs["crop_foreground"]:
        yield {"transform": "CropForeground"}


def built():
    """The network, without weights."""
    arguments = dict(network)
    if arguments.pop("type", "UNETR") == "UNETR":
        known = ("in_channels", "out_channels", "img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads", "proj_type",
                 "norm_name", "conv_block", "res_block", "qkv_bias")
        return UNETR(**{key: arguments[key] for key in known})
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    at = lambda path: getattr(torch.nn, path.rsplit(".", 1)[1])
    arguments["norm_op"], arguments["nonlin"] = at(arguments["norm_op"]), at(arguments["nonlin"])
    return PlainConvUNet(conv_op=torch.nn.Conv3d, nonlin_first=False, **arguments)


def with_weights(fold):
    """The network with the weights of one set."""
    net, own = built().eval(), f"folds.{fold}."
    stored = {name: tensor.float() for name, tensor in load_file(model).items()}
    state = {name: stored.get(own + name, tensor) for name, tensor in stored.items() if not name.startswith("folds.")}
    missing, unexpected = net.load_state_dict(state, strict=False)
    # MONAI 1.6 keeps norms that its UNETR never uses; nnU-Net's network has layers under two names, and heads of coarser stages.
    heads = [f"decoder.seg_layers.{stage}." for stage in range(network.get("n_stages", 2) - 2)]
    unused = ("norm_cross_attn", ".all_modules.", "decoder.encoder.", *heads)
    assert not unexpected and all(any(word in name for word in unused) for name in missing), (missing, unexpected)
    return net


nets = [with_weights(fold) for fold in package.get("folds", ["0"])]
axes = [2 + axis for axis in inference.get("mirror_axes", [])]
ways = [list(way) for count in range(len(axes) + 1) for way in itertools.combinations(axes, count)]


def predict(window):
    """The mean of the logits over sets of weights and mirrored ways."""
    return torch.stack([net(window.flip(way)).flip(way) for net in nets for way in ways]).mean(0)


before = Compose([
    LoadImaged(keys="image"), EnsureChannelFirstd(keys="image"), *map(step, inputs.get("steps") or fixed()),
])
back = Invertd(keys="logits", transform=before, orig_keys="image", nearest_interp=False)
back_labels = Invertd(keys="labels", transform=before, orig_keys="image", nearest_interp=True)
paths = [images] if os.path.isfile(images) else [os.path.join(images, n) for n in sorted(os.listdir(images)) if n.endswith(".nii.gz")]
os.makedirs(out, exist_ok=True)
cases = []
for path in paths:
    case = before({"image": path})
    with torch.inference_mode():
        logits = sliding_window_inference(
            case["image"][None], inference["roi_size"], 1, predict, overlap=inference["overlap"], mode=inference["blend"],
            sigma_scale=inference["sigma_scale"],
        )[0]
    name = os.path.basename(path)

    def keep(label, name):
        nibabel.save(nibabel.Nifti1Image(label.numpy().astype(np.uint8), nibabel.load(path).affine), os.path.join(out, name))

    case["logits"], case["labels"] = torch.softmax(logits, 0), logits.argmax(0, keepdim=True).float()
    label = back(case)["logits"].argmax(0)
    if sampled:
        stem = name.removesuffix(".gz").removesuffix(".nii")
        keep(label, f"{stem}.labels-probabilities.nii.gz")
        keep(back_labels(case)["labels"][0], f"{stem}.labels-labels.nii.gz")
        flat = logits.flatten(1).numpy()
        voxel = np.sort(np.random.default_rng(0).choice(flat.shape[1], 2000, replace=False))
        tensors = {
            "shape": np.array(logits.shape, np.int64), "voxel": voxel.astype(np.int64),
            "affine": np.asarray(case["image"].affine, np.float64), "logits": np.ascontiguousarray(flat[:, voxel]),
        }
        save_file(tensors, os.path.join(out, f"{stem}.logits.safetensors"))
    else:
        keep(label, name)
    label = label.numpy().astype(np.uint8)
    print(name, dict(zip(*map(list, np.unique(label, return_counts=True)))))
    if truth:
        expert = np.asarray(nibabel.load(os.path.join(truth[0], name)).dataobj).astype(np.uint8)
        row = {"case": name}
        for entry in labels:
            pair = [torch.from_numpy((a == entry["value"])[None, None]) for a in (label, expert)]
            row[entry["name"]] = float(compute_dice(*pair))
        cases.append(row)
        print(row)
if truth:
    mean = {e["name"]: float(np.mean([row[e["name"]] for row in cases])) for e in labels}
    report = {"monai": monai.__version__, "torch": torch.__version__, "mean": mean, "cases": cases}
    with open(os.path.join(out, "dice.json"), "w") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
