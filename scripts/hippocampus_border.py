#!/usr/bin/env python3
"""Where labels of a hippocampus are wrong: its outline, or the border between its anterior and posterior part.

Prints the mean Dice of both parts, of the whole, and of both parts as they would be if the predicted outline were divided where the
experts divide theirs; and how far the border lies off along the long axis (towards the front: positive), mean and standard deviation.
The border is the coronal plane that divides the labels with the fewest voxels on the wrong side. A tool beside the project: needs
`pip install nibabel numpy`.

usage: hippocampus_border.py PREDICTED TRUTH     folders of NIfTI files of the same names, values 1 (anterior) and 2 (posterior)
"""
import os, sys

import nibabel, numpy as np

predicted, truth = sys.argv[1:]


def dice(a, b):
    return 2 * np.sum(a & b) / (np.sum(a) + np.sum(b))


def border(labels):
    """The first voxel along Y that is anterior, in voxels, between them where the planes are equally good."""
    per_plane = lambda value: np.sum(labels == value, (0, 2))
    anterior, posterior = per_plane(1), per_plane(2)
    # Wrong sides of a plane before voxel y: anterior voxels behind it, posterior ones in front of it.
    wrong = np.concatenate([[0], np.cumsum(anterior)]) + np.sum(posterior) - np.concatenate([[0], np.cumsum(posterior)])
    return float(np.mean(np.flatnonzero(wrong == wrong.min())))


rows = []
for name in sorted(n for n in os.listdir(truth) if n.endswith(".nii.gz")):
    images = [nibabel.as_closest_canonical(nibabel.load(os.path.join(folder, name))) for folder in (predicted, truth)]
    got, want = (np.asarray(image.dataobj) for image in images)
    mm = images[1].header.get_zooms()[1]
    place = border(want)
    divided = np.where(got > 0, np.where(np.arange(got.shape[1])[None, :, None] >= place, 1, 2), 0)
    rows.append([
        dice(got == 1, want == 1), dice(got == 2, want == 2), dice(got > 0, want > 0),
        dice(divided == 1, want == 1), dice(divided == 2, want == 2), (border(got) - place) * mm,
        np.sum(got > 0) / np.sum(want > 0),
    ])
mean = np.mean(rows, 0)
print(f"scans {len(rows)}")
print(f"Dice anterior {mean[0]:.4f}, posterior {mean[1]:.4f}, mean {np.mean(mean[:2]):.4f}; whole {mean[2]:.4f}, volume ratio {mean[6]:.3f}")
print(f"with the experts' border: anterior {mean[3]:.4f}, posterior {mean[4]:.4f}")
print(f"border off by {mean[5]:+.2f} mm, SD {np.std([row[5] for row in rows], ddof=1):.2f} mm")
