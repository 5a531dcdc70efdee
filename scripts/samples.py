#!/usr/bin/env python3
"""Makes `models/samples` from the Colin27 head, as Debian's package `mricron-data` has it.

A tool beside the project: needs `pip install nibabel`, and the package's files:

    apt-get download mricron-data && dpkg -x mricron-data_*.deb mricron-data

usage: scripts/samples.py mricron-data
"""
import os, sys

import nibabel, numpy as np

HIPPOCAMPUS_L = 37
# Voxels of 1 mm left around the region, as scans of the hippocampus model's kind have.
MARGIN = np.array([6, 8, 6])


def write(name, voxels, affine):
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    for form in (image.set_sform, image.set_qform):
        form(affine, code="mni")
    nibabel.save(image, os.path.join(os.path.dirname(__file__), "..", "models", "samples", name))


def main():
    templates = os.path.join(sys.argv[1], "usr/share/mricron/templates")
    head, regions = (nibabel.load(os.path.join(templates, name)) for name in ("ch2.nii.gz", "aal.nii.gz"))
    voxels = np.asarray(head.dataobj)
    inside = np.argwhere(np.asarray(regions.dataobj) == HIPPOCAMPUS_L)
    low, high = inside.min(0) - MARGIN, inside.max(0) + MARGIN + 1
    affine = head.affine.copy()
    affine[:3, 3] = (head.affine @ np.append(low, 1))[:3]
    write("hippocampus.nii.gz", voxels[tuple(map(slice, low, high))], affine)

    # 2 mm, the mean of eight voxels. Air is exactly 0 in this head, and the model normalises over voxels that are not 0;
    # in the scans it was trained on air is not, so it is 1 here.
    x, y, z = (n // 2 for n in voxels.shape)
    blocks = voxels[: 2 * x, : 2 * y, : 2 * z].astype(np.float64).reshape(x, 2, y, 2, z, 2).mean((1, 3, 5))
    affine = head.affine @ np.diag([2, 2, 2, 1])
    affine[:3, 3] = (head.affine @ [0.5, 0.5, 0.5, 1])[:3]
    write("brain_regions.nii.gz", np.maximum(np.rint(blocks), 1).astype(np.uint8), affine)


if __name__ == "__main__":
    main()
