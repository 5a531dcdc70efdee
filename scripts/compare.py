#!/usr/bin/env python3
"""One window of UNETR in PyTorch, ONNX Runtime and `unetr`, one after the other on the same machine.

A tool beside the project: needs `pip install torch monai onnx onnxruntime` and a built `unetr`. Run it while nothing
else runs. Every figure is the lower median of the repeats.

usage: scripts/compare.py [small|full] [--device ADAPTER] [--repeats N]
"""
import argparse, json, os, platform, subprocess, sys, tempfile, time

CONFIGS = {
    "small": dict(in_channels=1, out_channels=3, img_size=(48, 64, 48), feature_size=8, hidden_size=192, mlp_dim=768, num_heads=6),
    "full": dict(in_channels=1, out_channels=14, img_size=(96, 96, 96), feature_size=16, hidden_size=768, mlp_dim=3072, num_heads=12),
}


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("size", nargs="?", default="small", choices=CONFIGS)
    parser.add_argument("--device")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    import onnxruntime, torch
    from monai.networks.nets import UNETR

    config = CONFIGS[arguments.size]
    torch.manual_seed(0)
    network = UNETR(**config).eval()
    window = torch.randn(1, config["in_channels"], *config["img_size"])
    rows = {}
    with torch.inference_mode():
        rows[f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"] = timed(lambda: network(window), arguments.repeats)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "unetr.onnx")
            torch.onnx.export(network, (window,), path, input_names=["x"], output_names=["y"], dynamo=False)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            feed = {"x": window.numpy()}
            rows[f"ONNX Runtime {onnxruntime.__version__}, CPU"] = timed(lambda: session.run(None, feed), arguments.repeats)
    command = ["target/release/unetr", "bench", "--json", "--repeats", str(arguments.repeats)]
    if arguments.size == "small":
        command += ["-m", "models/hippocampus.safetensors"]
    if arguments.device:
        command += ["--device", arguments.device]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    rows[f"unetr, {report['adapter']}"] = report["repeats_ms"]
    base = lower_median(next(iter(rows.values())))
    print(f"{arguments.size} window, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    for name, times in rows.items():
        middle = lower_median(times)
        print(f"  {name:<60} {middle:9.1f} ms   {middle / base:6.2f} x PyTorch   ({min(times):.1f} to {max(times):.1f})")


if __name__ == "__main__":
    sys.exit(main())
