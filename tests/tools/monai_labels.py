#!/usr/bin/env python3
"""MONAI's labels and Dice of a model package over scans, to compare the program with: `tests/golden/hippocampus-shipped`.

A tool beside the project: needs `pip install torch monai nibabel safetensors`.

usage: monai_labels.py MODEL.safetensors IMAGES TRUTH OUT
"""
import json, os, sys

import monai, nibabel, numpy as np, torch
from monai.inferers import sliding_window_inference
from monai.metrics import compute_dice
from monai.networks.nets import UNETR
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, NormalizeIntensityd, Orientationd
from safetensors import safe_open
from safetensors.torch import load_file

model, images, truth, out = sys.argv[1:]
with safe_open(model, "pt") as file:
    package = json.loads(file.metadata()["unetr"])
network, inference, labels = package["network"], package["inference"], package["output"]["labels"]
assert package["input"]["spacing"] is None and not package["input"]["crop_foreground"], "only what these scans need"
assert package["input"]["intensity"] == {"kind": "normalize", "nonzero": False, "channel_wise": True}
net = UNETR(
    in_channels=network["in_channels"], out_channels=network["out_channels"], img_size=network["img_size"],
    feature_size=network["feature_size"], hidden_size=network["hidden_size"], mlp_dim=network["mlp_dim"],
    num_heads=network["num_heads"], proj_type=network["proj_type"], norm_name=network["norm_name"],
    conv_block=network["conv_block"], res_block=network["res_block"], qkv_bias=network["qkv_bias"],
).eval()
state = {name: tensor.float() for name, tensor in load_file(model).items()}
missing, unexpected = net.load_state_dict(state, strict=False)
# MONAI 1.6 keeps norms that its UNETR never uses.
assert not unexpected and all("norm_cross_attn" in name for name in missing), (missing, unexpected)

before = Compose([
    LoadImaged(keys="image"), EnsureChannelFirstd(keys="image"),
    Orientationd(keys="image", axcodes=package["input"]["orientation"]),
    NormalizeIntensityd(keys="image", nonzero=False, channel_wise=True),
])
back = Invertd(keys="logits", transform=before, orig_keys="image", nearest_interp=False)
os.makedirs(os.path.join(out, "labels"), exist_ok=True)
cases = []
for name in sorted(n for n in os.listdir(images) if n.endswith(".nii.gz")):
    case = before({"image": os.path.join(images, name)})
    with torch.inference_mode():
        logits = sliding_window_inference(
            case["image"][None], inference["roi_size"], 1, net, overlap=inference["overlap"], mode=inference["blend"],
            sigma_scale=inference["sigma_scale"],
        )[0]
    case["logits"] = torch.softmax(logits, 0)
    label = back(case)["logits"].argmax(0).numpy().astype(np.uint8)
    scan = nibabel.load(os.path.join(images, name))
    nibabel.save(nibabel.Nifti1Image(label, scan.affine), os.path.join(out, "labels", name))
    expert = np.asarray(nibabel.load(os.path.join(truth, name)).dataobj).astype(np.uint8)
    row = {"case": name}
    for entry in labels:
        pair = [torch.from_numpy((a == entry["value"])[None, None]) for a in (label, expert)]
        row[entry["name"]] = float(compute_dice(*pair))
    cases.append(row)
    print(row)
mean = {e["name"]: float(np.mean([row[e["name"]] for row in cases])) for e in labels}
print(mean)
report = {"monai": monai.__version__, "torch": torch.__version__, "mean": mean, "cases": cases}
with open(os.path.join(out, "dice.json"), "w") as file:
    json.dump(report, file, indent=1)
    file.write("\n")
