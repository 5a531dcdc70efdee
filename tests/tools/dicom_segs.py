"""Segmentations as highdicom writes them, for tests/volume/dicom_seg.rs.

    python tests/tools/dicom_segs.py

needs highdicom (0.28.2) and pydicom (3.0.2). Files: tests/golden/dicom/seg_*.dcm, of a made series of 13 x 9 x 6 voxels.
"""

from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

OUT = Path(__file__).parent.parent / "golden" / "dicom"
COLUMNS, ROWS, SLICES = 13, 9, 6
ORIENTATION = [0.8, 0.6, 0.0, 0.0, 0.0, -1.0]
NORMAL = np.cross(ORIENTATION[:3], ORIENTATION[3:])
ORIGIN = np.array([10.0, -20.0, 30.0])


def source(z):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ds.SOPInstanceUID = f"1.2.3.4.{z + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    ds.PatientName = ds.PatientID = ds.PatientBirthDate = ds.PatientSex = ds.AccessionNumber = ""
    ds.StudyID = ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", 1, z + 1
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.PixelSpacing, ds.SliceThickness = [1.5, 0.7], 2.5
    ds.ImageOrientationPatient = ORIENTATION
    ds.ImagePositionPatient = list(np.round(ORIGIN + 2.5 * z * NORMAL, 6))
    ds.PixelData = np.zeros((ROWS, COLUMNS), np.int16).tobytes()
    return ds


def segment(number, label):
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="MANUAL",
    )


def write(name, pixels, kind, numbers=(1, 2), **options):
    seg = hd.seg.Segmentation(
        source_images=[source(z) for z in range(SLICES)],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[segment(n, f"part {n}") for n in numbers],
        series_instance_uid="1.2.3.5",
        series_number=2,
        sop_instance_uid="1.2.3.6",
        instance_number=1,
        manufacturer="highdicom",
        manufacturer_model_name="made",
        software_versions="0.28.2",
        device_serial_number="1",
        **options,
    )
    seg.save_as(OUT / f"seg_{name}.dcm")


z, y, x = np.meshgrid(range(SLICES), range(ROWS), range(COLUMNS), indexing="ij")
labels = np.where((x < 6) & (z >= 1) & (z <= 3), 1, np.where((x >= 7) & (y >= 4) & np.isin(z, (1, 4)), 2, 0)).astype(np.uint8)
both = np.stack([(x < 8) & (z == 2), (x >= 6) & (z == 2)], -1).astype(np.uint8)
write("binary", labels, "BINARY")
write("labelmap", labels, "LABELMAP")
write("overlapping", both, "BINARY")
fraction = np.where(z == 2, x / (COLUMNS - 1), 0.0)[..., None].astype(np.float32)
write("fractional", fraction, "FRACTIONAL", (1,), fractional_type="PROBABILITY", max_fractional_value=200)
write("rle", labels, "LABELMAP", transfer_syntax_uid="1.2.840.10008.1.2.5")
