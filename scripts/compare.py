#!/usr/bin/env python3
"""One window of UNETR in PyTorch, ONNX Runtime and `unetr`, or with `train` one training step (AdamW, Dice and cross entropy)
in PyTorch and `unetr`, one after the other on the same machine.

A tool beside the project: needs `pip install torch monai einops`, for windows also `onnx onnxruntime`, and a built `unetr`. Run
it while nothing else runs. Every figure is the lower median of the repeats.

usage: scripts/compare.py [train] [small|full] [--device ADAPTER] [--torch cpu|cuda] [--batch N] [--repeats N]
"""
import argparse, json, os, platform, subprocess, tempfile, time

CONFIGS = {
    "small": dict(in_channels=1, out_channels=3, img_size=(48, 64, 48), feature_size=8, hidden_size=192, mlp_dim=768, num_heads=6),
    "full": dict(in_channels=1, out_channels=14, img_size=(96, 96, 96), feature_size=16, hidden_size=768, mlp_dim=3072, num_heads=12),
}


UNETR_PROGRAM = os.environ.get("UNETR", "target/release/unetr")


def lower_median(values):
    return sorted(values)[(len(values) - 1) // 2]


def timed(run, repeats):
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def pytorch(arguments, config):
    """Name, the network and its window, and what waits for the device."""
    import torch
    from monai.networks.nets import UNETR

    torch.manual_seed(0)
    network = UNETR(**config).to(arguments.torch)
    window = torch.randn(arguments.batch, config["in_channels"], *config["img_size"]).to(arguments.torch)
    where = f"{torch.get_num_threads()} threads"
    wait = lambda: None
    if arguments.torch == "cuda":
        where, wait = torch.cuda.get_device_name(), torch.cuda.synchronize
    return f"PyTorch {torch.__version__}, {where}", network, window, wait


def package(config, path):
    """The same network as a model package."""
    import torch
    from monai.networks.nets import UNETR

    with tempfile.TemporaryDirectory() as folder:
        state, settings = os.path.join(folder, "state.pt"), os.path.join(folder, "package.json")
        torch.save(UNETR(**config).state_dict(), state)
        with open(settings, "w") as file:
            json.dump({"network": {"img_size": config["img_size"], "num_heads": config["num_heads"]}}, file)
        subprocess.run([UNETR_PROGRAM, "import", state, "--package", settings, "-o", path], check=True, capture_output=True)


def windows(arguments, config):
    import onnxruntime, torch

    name, network, window, wait = pytorch(arguments, config)
    network.eval()
    rows = {}
    with torch.inference_mode():
        rows[name] = timed(lambda: (network(window), wait()), arguments.repeats)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "unetr.onnx")
            network, window = network.cpu(), window.cpu()
            torch.onnx.export(network, (window,), path, input_names=["x"], output_names=["y"], dynamo=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            feed = {"x": window.numpy()}
            rows[f"ONNX Runtime {onnxruntime.__version__}, CPU"] = timed(lambda: session.run(None, feed), arguments.repeats)
    return rows


def steps(arguments, config):
    import torch
    from monai.losses import DiceCELoss

    name, network, window, wait = pytorch(arguments, config)
    network.train()
    label = torch.randint(config["out_channels"], (arguments.batch, 1, *config["img_size"]), device=window.device)
    objective = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-5)

    def step():
        optimizer.zero_grad(set_to_none=True)
        objective(network(window), label).backward()
        optimizer.step()
        wait()

    return {f"{name}, eager": timed(step, arguments.repeats)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", metavar="train|small|full", help="train: steps instead of windows; small (default) or full")
    parser.add_argument("--device")
    parser.add_argument("--torch", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--batch", type=int, default=1, help="windows in a training step")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    unknown = set(arguments.what) - {"train", *CONFIGS}
    if unknown or len(set(arguments.what) & set(CONFIGS)) > 1:
        parser.error(f"expected train, small or full, not {' '.join(arguments.what)}")
    train, size = "train" in arguments.what, "full" if "full" in arguments.what else "small"
    if arguments.batch != 1 and not train:
        parser.error("--batch is for train")
    rows = (steps if train else windows)(arguments, CONFIGS[size])
    command = [UNETR_PROGRAM, "bench", "--json", "--repeats", str(arguments.repeats)]
    if train:
        command += ["--train", "--batch", str(arguments.batch)]
    if arguments.device:
        command += ["--device", arguments.device]
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.safetensors")
        package(CONFIGS[size], model)
        report = json.loads(subprocess.run([*command, "-m", model], check=True, stdout=subprocess.PIPE).stdout)
    rows[f"unetr, {report['adapter']}"] = report["repeats_ms"]
    base = lower_median(next(iter(rows.values())))
    what = f"training step, batch of {arguments.batch}" if train else "window"
    print(f"{size} {what}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    for name, times in rows.items():
        middle = lower_median(times)
        print(f"  {name:<60} {middle:9.1f} ms   {middle / base:6.2f} x PyTorch   ({min(times):.1f} to {max(times):.1f})")
    if train:
        print(f"  unetr's step takes {report['forward_passes']:.2f} of its forward passes ({report['forward_ms']:.1f} ms)")


if __name__ == "__main__":
    main()
