"""Small reference values of nnU-Net's preprocessing and export (nnunetv2 2.8.1, PyTorch, scipy, scikit-image).

    python tests/tools/nnunet_steps.py tests/golden/nnunet-steps.safetensors

Each case is a scan as a file stores it, `(C, X, Y, Z)`, and settings; `data` is what the network sees (axes z, y, x,
transposed), `labels` what nnU-Net makes of logits `sin(0.37 i + 1.9 k)` (element i of class k), `(X, Y, Z)`.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from safetensors.numpy import save_file

CT = {"mean": 90.0, "std": 60.0, "percentile_00_5": -80.0, "percentile_99_5": 210.0}


def case(name, shape, spacing, target, schemes, mask, forward=(0, 1, 2), classes=3, regions=False, crop=True, **kwargs):
    rng = np.random.default_rng(abs(hash_of(name)))
    x, y, z = shape
    scan = rng.normal(100, 80, (len(schemes), x, y, z)).astype(np.float32)
    if "RGBTo01Normalization" in schemes:
        scan = np.clip(np.abs(scan), 0, 255)
    if crop:
        scan[:, :1], scan[:, :, -1:], scan[:, :, :, :1] = 0, 0, 0
        scan[:, x // 2, y // 2, z // 2] = 0  # a hole
        scan[:, x // 2 + 1, 0:2, z // 2] = 0  # a dent
    data = {"order": 3, "order_z": 0, "force_separate_z": None, **kwargs.get("data", {})}
    probabilities = {"order": 1, "order_z": 0, "force_separate_z": None, **kwargs.get("probabilities", {})}
    configuration = SimpleNamespace(
        spacing=list(target),
        normalization_schemes=schemes,
        use_mask_for_norm=mask,
        resampling_fn_data=lambda d, shape, a, b: resample_data_or_seg_to_shape(d, shape, a, b, is_seg=False, **data),
        resampling_fn_seg=lambda d, shape, a, b: resample_data_or_seg_to_shape(d, shape, a, b, is_seg=True, order=1, order_z=0, force_separate_z=None),
        resampling_fn_probabilities=lambda d, shape, a, b: resample_data_or_seg_to_shape(d, shape, a, b, is_seg=False, **probabilities),
    )
    plans = SimpleNamespace(
        transpose_forward=list(forward),
        transpose_backward=[int(i) for i in np.argsort(forward)],
        foreground_intensity_properties_per_channel={str(c): CT for c in range(len(schemes))},
    )
    properties = {"spacing": [float(np.float32(s)) for s in spacing[::-1]]}
    stored = np.ascontiguousarray(scan.transpose(0, 3, 2, 1))
    seen, _, properties = DefaultPreprocessor(verbose=False).run_case_npy(stored, None, properties, plans, configuration, {})
    seen = np.ascontiguousarray(seen)
    voxels = np.arange(seen[0].size)
    logits = np.stack([np.sin(0.37 * voxels + 1.9 * k).reshape(seen.shape[1:]) for k in range(classes)]).astype(np.float32)
    names = {"background": 0, **({f"r{k}": [k + 1, 99] for k in range(classes)} if regions else {f"c{k}": k for k in range(1, classes)})}
    labels = LabelManager(names, [3, 1, 2][:classes] if regions else None)
    out = convert_predicted_logits_to_segmentation_with_correct_shape(logits, plans, configuration, labels, properties, num_threads_torch=1)
    settings = {
        "name": name, "shape": list(scan.shape), "spacing": list(spacing), "target": list(target), "schemes": schemes, "mask": mask, "transpose_forward": list(forward),
        "classes": classes, "regions": regions, "data": data, "probabilities": probabilities, "seen": list(seen.shape),
    }
    tensors = {f"{name}.scan": scan, f"{name}.data": seen.astype(np.float32), f"{name}.labels": np.ascontiguousarray(out.transpose(2, 1, 0)).astype(np.uint8)}
    return settings, tensors


def hash_of(name):
    return sum(ord(c) * 31**i for i, c in enumerate(name)) % 2**31


def main(path):
    Z, N = "ZScoreNormalization", "NoNormalization"
    made = [
        case("iso-up", (7, 6, 5), (2.0, 2.0, 2.5), (1.6, 1.3, 1.4), ["CTNormalization"], [False]),
        case("iso-down", (11, 9, 8), (1.0, 1.1, 0.9), (1.5, 1.9, 1.7), [Z, Z], [True, False], forward=(2, 0, 1)),
        case("separate", (9, 8, 5), (0.7, 0.7, 5.0), (3.5, 0.9, 0.9), [Z], [True]),
        case("separate-down", (8, 7, 6), (1.0, 1.0, 4.0), (6.0, 1.2, 0.8), ["RescaleTo01Normalization"], [False], regions=True),
        case("target-thick", (8, 7, 10), (1.0, 1.0, 1.6), (4.8, 1.4, 1.4), [N], [False], forward=(0, 2, 1)),
        case("two-thick", (6, 5, 7), (4.0, 1.0, 4.0), (2.0, 1.5, 2.5), ["RGBTo01Normalization"], [False]),
        case("forced", (6, 7, 5), (1.0, 1.3, 2.0), (1.5, 1.0, 1.1), [N], [False], data={"force_separate_z": True, "order_z": 1}, probabilities={"force_separate_z": False, "order": 0}),
        case("unchanged", (5, 6, 4), (1.5, 1.5, 3.0), (3.0, 1.5, 1.5), [Z], [False], crop=False),
    ]
    tensors = {key: value for _, each in made for key, value in each.items()}
    save_file(tensors, path, metadata={"cases": json.dumps([settings for settings, _ in made])})


if __name__ == "__main__":
    main(sys.argv[1])
