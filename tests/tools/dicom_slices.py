#!/usr/bin/env python3
"""One MR slice in the transfer syntaxes of DICOM: `tests/golden/dicom`, and what pydicom reads of each.

The slice is made of `models/samples/brain_regions.nii.gz` (2 mm, 64 x 64 pixels of it, 12 bits). A tool beside the project: needs
`pip install pydicom python-gdcm pyjpegls pylibjpeg pylibjpeg-openjpeg nibabel`.

usage: dicom_slices.py SCAN.nii.gz OUT
"""
import json, os, sys, tempfile

import gdcm, nibabel, numpy as np, pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, JPEGLSNearLossless, MRImageStorage,
    RLELossless,
)

scan, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
head = np.asarray(nibabel.load(scan).dataobj)
# Rows run to the back, columns to the left.
plane = head[13:77, 22:86, 45].T[::-1, ::-1].astype(np.int16)
# More than eight bits, and no two neighbours equal.
pixels = plane * 14 + (np.arange(4096).reshape(64, 64) * 37 % 11).astype(np.int16)


def dataset(pixels):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = MRImageStorage
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SeriesInstanceUID, d.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
    d.Modality, d.PatientName, d.PatientID = "MR", "Made^Up", "1"
    d.PixelSpacing, d.SliceThickness = [2.0, 2.0], 2.0
    d.ImagePositionPatient, d.ImageOrientationPatient = [-62.5, -45.5, 19.5], [1, 0, 0, 0, 1, 0]
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = pixels.shape
    eight = pixels.dtype == np.uint8
    d.BitsAllocated = d.BitsStored = 8 if eight else 16
    d.HighBit, d.PixelRepresentation = d.BitsStored - 1, 0 if eight else 1
    d.PixelData = pixels.tobytes()
    d["PixelData"].VR = "OB" if eight else "OW"
    return d


def packed_by_gdcm(d, syntax):
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = os.path.join(folder, "a.dcm"), os.path.join(folder, "b.dcm")
        d.save_as(plain, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change(), "gdcm cannot pack this"
        writer = gdcm.ImageWriter()
        writer.SetFileName(packed)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        result = pydicom.dcmread(packed)
        return result


def compressed(syntax, **options):
    d = dataset(pixels)
    d.compress(syntax, generate_instance_uid=False, **options)
    return d


files = {"explicit": dataset(pixels), "rle": compressed(RLELossless), "jpeg_2000": compressed(JPEG2000Lossless)}
files["jpeg_ls"] = compressed(JPEGLSLossless)
files["jpeg_ls_near_3"] = compressed(JPEGLSNearLossless, jls_error=3)
files["jpeg_lossless"] = packed_by_gdcm(dataset(pixels), gdcm.TransferSyntax.JPEGLosslessProcess14_1)
files["jpeg_2000_signed"] = packed_by_gdcm(dataset(pixels - 1000), gdcm.TransferSyntax.JPEG2000Lossless)
files["jpeg_8_bits"] = packed_by_gdcm(dataset((pixels // 10).clip(0, 255).astype(np.uint8)), gdcm.TransferSyntax.JPEGBaselineProcess1)
for name, syntax in (("implicit", ImplicitVRLittleEndian), ("big_endian", ExplicitVRBigEndian)):
    files[name] = dataset(pixels)
    files[name].file_meta.TransferSyntaxUID = syntax
    if name == "big_endian":
        files[name].PixelData = pixels.astype(">i2").tobytes()
files["padded"] = dataset(pixels)
files["padded"].PixelData += b"\0" * 256
readings = {}
for name, d in files.items():
    path = os.path.join(out, f"{name}.dcm")
    d.save_as(path, enforce_file_format=True)
    values = pydicom.dcmread(path).pixel_array.astype(np.int64).ravel()[:4096]
    weighted = int((values * (np.arange(4096) % 251)).sum())
    readings[name] = {"sum": int(values.sum()), "weighted": weighted, "corners": [int(values[i]) for i in (0, 63, 4032, 4095)]}
readings["pydicom"] = pydicom.__version__
with open(os.path.join(out, "readings.json"), "w") as file:
    json.dump(readings, file, indent=1)
    file.write("\n")
