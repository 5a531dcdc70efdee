"""One small oblique image as ITK and nibabel store it in every format that is read, and as NIfTI to compare with.

    python3 itk_images.py tests/golden/formats

Needs SimpleITK, nibabel and numpy. The tests only need the files.
"""

import sys

import nibabel
import numpy as np
import SimpleITK as sitk

DIMS = (3, 5, 4)


def image(dtype, components=1):
    rng = np.random.default_rng(7)
    shape = DIMS[::-1] + ((components,) if components > 1 else ())
    values = rng.integers(-120, 120, shape) if np.issubdtype(dtype, np.signedinteger) else rng.integers(0, 200, shape)
    if np.issubdtype(dtype, np.floating):
        values = rng.normal(0, 50, shape)
    made = sitk.GetImageFromArray(values.astype(dtype), isVector=components > 1)
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.35, 1.8)
    made.SetDirection(turn.GetMatrix())
    made.SetSpacing((0.7, 1.25, 3.5))
    made.SetOrigin((12.5, -40.25, 7.75))
    return made


def main(folder):
    for name, dtype in [("int8", np.int8), ("uint16", np.uint16), ("int32", np.int32), ("float64", np.float64)]:
        made = image(dtype)
        sitk.WriteImage(made, f"{folder}/{name}.nii.gz")
        sitk.WriteImage(made, f"{folder}/{name}.nrrd", useCompression=name != "uint16")
        sitk.WriteImage(made, f"{folder}/{name}.mha", useCompression=name != "int32")
    sitk.WriteImage(image(np.int32), f"{folder}/detached.nhdr", useCompression=False)
    sitk.WriteImage(image(np.int32), f"{folder}/detached.mhd", useCompression=True)
    pair = image(np.float32, 2)
    sitk.WriteImage(pair, f"{folder}/vector.nrrd", useCompression=True)
    sitk.WriteImage(pair, f"{folder}/vector.mha", useCompression=True)
    for c in range(2):
        sitk.WriteImage(sitk.VectorIndexSelectionCast(pair, c), f"{folder}/vector_{c}.nii.gz")
    stored = nibabel.load(f"{folder}/int32.nii.gz")
    values = np.asarray(stored.dataobj)
    for name, dtype in [("int16.mgh", np.int16), ("int32.mgz", np.int32), ("float32.mgz", np.float32)]:
        nibabel.save(nibabel.MGHImage(values.astype(dtype), stored.affine), f"{folder}/{name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
