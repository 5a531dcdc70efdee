//! The attributes that are read, and no others.

use std::fmt;

/// An attribute: its tag, its name in PS3.6, and the value representation it must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Group in the upper, element in the lower 16 bits.
    pub tag: u32,
    /// Name in PS3.6.
    pub name: &'static str,
    /// Value representation in PS3.6.
    pub vr: &'static str,
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:04X},{:04X})", self.name, self.tag >> 16, self.tag & 0xffff)
    }
}

macro_rules! attributes {
    ($($(#[$meta:meta])* $id:ident = $tag:literal, $name:literal, $vr:literal;)*) => {
        $($(#[$meta])* pub const $id: Attribute = Attribute { tag: $tag, name: $name, vr: $vr };)*
        /// All of them.
        pub const ALL: &[Attribute] = &[$($id),*];
    };
}

attributes! {
    MEDIA_STORAGE_CLASS = 0x0002_0002, "Media Storage SOP Class UID", "UI";
    TRANSFER_SYNTAX = 0x0002_0010, "Transfer Syntax UID", "UI";
    SOP_CLASS = 0x0008_0016, "SOP Class UID", "UI";
    SOP_INSTANCE = 0x0008_0018, "SOP Instance UID", "UI";
    MODALITY = 0x0008_0060, "Modality", "CS";
    SERIES_DESCRIPTION = 0x0008_103e, "Series Description", "LO";
    SLICE_THICKNESS = 0x0018_0050, "Slice Thickness", "DS";
    ECHO_TIME = 0x0018_0081, "Echo Time", "DS";
    ECHO_NUMBERS = 0x0018_0086, "Echo Number(s)", "IS";
    SPACING_BETWEEN_SLICES = 0x0018_0088, "Spacing Between Slices", "DS";
    TRIGGER_TIME = 0x0018_1060, "Trigger Time", "DS";
    B_VALUE = 0x0018_9087, "Diffusion b-value", "FD";
    SERIES_INSTANCE = 0x0020_000e, "Series Instance UID", "UI";
    ACQUISITION_NUMBER = 0x0020_0012, "Acquisition Number", "IS";
    POSITION = 0x0020_0032, "Image Position (Patient)", "DS";
    ORIENTATION = 0x0020_0037, "Image Orientation (Patient)", "DS";
    TEMPORAL_POSITION = 0x0020_0100, "Temporal Position Identifier", "IS";
    PLANE_POSITION = 0x0020_9113, "Plane Position Sequence", "SQ";
    PLANE_ORIENTATION = 0x0020_9116, "Plane Orientation Sequence", "SQ";
    SAMPLES = 0x0028_0002, "Samples per Pixel", "US";
    PHOTOMETRIC = 0x0028_0004, "Photometric Interpretation", "CS";
    FRAMES = 0x0028_0008, "Number of Frames", "IS";
    ROWS = 0x0028_0010, "Rows", "US";
    COLUMNS = 0x0028_0011, "Columns", "US";
    PIXEL_SPACING = 0x0028_0030, "Pixel Spacing", "DS";
    BITS_ALLOCATED = 0x0028_0100, "Bits Allocated", "US";
    BITS_STORED = 0x0028_0101, "Bits Stored", "US";
    HIGH_BIT = 0x0028_0102, "High Bit", "US";
    PIXEL_REPRESENTATION = 0x0028_0103, "Pixel Representation", "US";
    RESCALE_INTERCEPT = 0x0028_1052, "Rescale Intercept", "DS";
    RESCALE_SLOPE = 0x0028_1053, "Rescale Slope", "DS";
    MODALITY_LUT = 0x0028_3000, "Modality LUT Sequence", "SQ";
    PIXEL_MEASURES = 0x0028_9110, "Pixel Measures Sequence", "SQ";
    VALUE_TRANSFORMATION = 0x0028_9145, "Pixel Value Transformation Sequence", "SQ";
    SHARED_GROUPS = 0x5200_9229, "Shared Functional Groups Sequence", "SQ";
    FRAME_GROUPS = 0x5200_9230, "Per-Frame Functional Groups Sequence", "SQ";
    PIXEL_DATA = 0x7fe0_0010, "Pixel Data", "OW";
}
