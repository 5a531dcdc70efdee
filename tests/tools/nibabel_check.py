"""What nibabel (and SimpleITK) read, as JSON for the tests to compare with.

    python3 nibabel_check.py readings FILE...  > tests/golden/nibabel-readings.json
    python3 nibabel_check.py outputs FOLDER    | gzip -9n > tests/golden/nibabel-orientations.json.gz

Needs nibabel, numpy and, for outputs, SimpleITK. The tests only need the JSON.
"""

import hashlib
import json
import pathlib
import sys

import nibabel
import numpy


def reading(path):
    image = nibabel.load(path)
    data = numpy.asarray(image.dataobj, dtype=numpy.float64)
    finite = numpy.isfinite(data)
    rng = numpy.random.default_rng(len(data.ravel()))
    samples = [[int(n) for n in (rng.integers(0, s) for s in data.shape)] for _ in range(40)]
    values = [data[tuple(index)] for index in samples]
    return {
        "shape": list(data.shape),
        "affine": image.affine[:3].ravel().tolist(),
        "codes": "".join(nibabel.aff2axcodes(image.affine)),
        "sum": float(data[finite].sum()),
        "non_finite": int((~finite).sum()),
        "extensions": [[e.get_code(), len(e.content)] for e in image.header.extensions],
        "voxels": [[i, float(v) if numpy.isfinite(v) else None] for i, v in zip(samples, values)],
    }


def worst_distance(points, truth):
    """Largest distance from a found (label, mm) to its marker; infinite if the sets differ."""
    if len(points) != len(truth):
        return float("inf")
    worst = 0.0
    for label, at in truth:
        near = [numpy.linalg.norm(numpy.subtract(at, p)) for found, p in points if found == label]
        worst = max(worst, min(near, default=float("inf")))
    return worst


def itk_distance(path, truth):
    """SimpleITK's reading; None for NIfTI-2, which it does not know."""
    import SimpleITK

    if path.stem.endswith("nifti2"):
        return None
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image)
    points = []
    for k, j, i in numpy.argwhere(array != 0):
        x, y, z = image.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))
        points.append((int(array[k, j, i]), (-x, -y, z)))
    return round(worst_distance(points, truth), 7)


def output(path, truth):
    image = nibabel.load(path)
    data = numpy.asarray(image.dataobj)
    points = [
        (int(data[tuple(i)]), nibabel.affines.apply_affine(image.affine, i))
        for i in numpy.argwhere(data != 0)
    ]
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "codes": "".join(nibabel.aff2axcodes(image.affine)),
        "affine": [round(v, 9) for v in image.affine[:3].ravel().tolist()],
        "nibabel_mm": round(worst_distance(points, truth), 7),
        "itk_mm": itk_distance(path, truth),
    }


def main():
    mode, arguments = sys.argv[1], [pathlib.Path(a) for a in sys.argv[2:]]
    if mode == "readings":
        table = {path.name: reading(path) for path in sorted(arguments)}
    else:
        folder = arguments[0]
        truth = json.loads((folder / "truth.json").read_text())
        table = {path.stem: output(path, truth) for path in sorted(folder.glob("*.nii"))}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table.items())
    print("{\n" + lines + "\n}")


main()
