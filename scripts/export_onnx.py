#!/usr/bin/env python3
"""Writes the network of a model package as ONNX, through MONAI and PyTorch, with its weights.

A tool beside the project: needs `pip install torch monai onnx safetensors`.

usage: scripts/export_onnx.py MODEL.safetensors MODEL.onnx
"""
import json, sys


def main():
    import torch
    from monai.networks.nets import UNETR
    from safetensors import safe_open

    source, target = sys.argv[1:]
    with safe_open(source, "pt") as file:
        config = json.loads(file.metadata()["unetr"])["network"]
        state = {name: file.get_tensor(name).float() for name in file.keys()}
    names = ("in_channels", "out_channels", "img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads", "norm_name",
             "conv_block", "res_block", "proj_type", "qkv_bias")
    network = UNETR(**{name: config[name] for name in names if name in config}).eval()
    missing, unexpected = network.load_state_dict(state, strict=False)
    # What newer MONAI stores and UNETR never uses.
    missing = [name for name in missing if "cross_attn" not in name]
    if missing or unexpected:
        sys.exit(f"error: the network is another one: missing {missing}, unexpected {unexpected}")
    window = torch.randn(1, config["in_channels"], *config["img_size"])
    torch.onnx.export(network, (window,), target, input_names=["x"], output_names=["y"], dynamo=False)


if __name__ == "__main__":
    main()
