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
    IMAGE_TYPE = 0x0008_0008, "Image Type", "CS";
    SOP_CLASS = 0x0008_0016, "SOP Class UID", "UI";
    SOP_INSTANCE = 0x0008_0018, "SOP Instance UID", "UI";
    ACQUISITION_DATETIME = 0x0008_002a, "Acquisition DateTime", "DT";
    ACQUISITION_TIME = 0x0008_0032, "Acquisition Time", "TM";
    CONTENT_TIME = 0x0008_0033, "Content Time", "TM";
    MODALITY = 0x0008_0060, "Modality", "CS";
    SERIES_DESCRIPTION = 0x0008_103e, "Series Description", "LO";
    FRAME_TYPE = 0x0008_9007, "Frame Type", "CS";
    COMPLEX_COMPONENT = 0x0008_9208, "Complex Image Component", "CS";
    CONTRAST_AGENT = 0x0018_0010, "Contrast/Bolus Agent", "LO";
    SLICE_THICKNESS = 0x0018_0050, "Slice Thickness", "DS";
    KVP = 0x0018_0060, "KVP", "DS";
    REPETITION_TIME = 0x0018_0080, "Repetition Time", "DS";
    ECHO_TIME = 0x0018_0081, "Echo Time", "DS";
    INVERSION_TIME = 0x0018_0082, "Inversion Time", "DS";
    ECHO_NUMBERS = 0x0018_0086, "Echo Number(s)", "IS";
    SPACING_BETWEEN_SLICES = 0x0018_0088, "Spacing Between Slices", "DS";
    TRIGGER_TIME = 0x0018_1060, "Trigger Time", "DS";
    CONVOLUTION_KERNEL = 0x0018_1210, "Convolution Kernel", "SH";
    FLIP_ANGLE = 0x0018_1314, "Flip Angle", "DS";
    FRAME_ACQUISITION_DATETIME = 0x0018_9074, "Frame Acquisition DateTime", "DT";
    DIFFUSION_DIRECTIONALITY = 0x0018_9075, "Diffusion Directionality", "CS";
    GRADIENT_DIRECTION = 0x0018_9076, "Diffusion Gradient Direction Sequence", "SQ";
    INVERSION_TIMES = 0x0018_9079, "Inversion Times", "FD";
    EFFECTIVE_ECHO_TIME = 0x0018_9082, "Effective Echo Time", "FD";
    B_VALUE = 0x0018_9087, "Diffusion b-value", "FD";
    GRADIENT_ORIENTATION = 0x0018_9089, "Diffusion Gradient Orientation", "FD";
    MR_TIMING = 0x0018_9112, "MR Timing and Related Parameters Sequence", "SQ";
    MR_ECHO = 0x0018_9114, "MR Echo Sequence", "SQ";
    MR_MODIFIER = 0x0018_9115, "MR Modifier Sequence", "SQ";
    MR_DIFFUSION = 0x0018_9117, "MR Diffusion Sequence", "SQ";
    CARDIAC_SYNCHRONIZATION = 0x0018_9118, "Cardiac Synchronization Sequence", "SQ";
    MR_FRAME_TYPE = 0x0018_9226, "MR Image Frame Type Sequence", "SQ";
    CT_RECONSTRUCTION = 0x0018_9314, "CT Reconstruction Sequence", "SQ";
    CT_XRAY_DETAILS = 0x0018_9325, "CT X-Ray Details Sequence", "SQ";
    CT_FRAME_TYPE = 0x0018_9329, "CT Image Frame Type Sequence", "SQ";
    PET_FRAME_TYPE = 0x0018_9751, "PET Frame Type Sequence", "SQ";
    SIEMENS_MOSAIC_IMAGES = 0x0019_100a, "Siemens: images in a mosaic", "US";
    SIEMENS_B_VALUE = 0x0019_100c, "Siemens: b-value", "IS";
    STUDY_INSTANCE = 0x0020_000d, "Study Instance UID", "UI";
    SERIES_INSTANCE = 0x0020_000e, "Series Instance UID", "UI";
    ACQUISITION_NUMBER = 0x0020_0012, "Acquisition Number", "IS";
    INSTANCE_NUMBER = 0x0020_0013, "Instance Number", "IS";
    POSITION = 0x0020_0032, "Image Position (Patient)", "DS";
    ORIENTATION = 0x0020_0037, "Image Orientation (Patient)", "DS";
    FRAME_OF_REFERENCE = 0x0020_0052, "Frame of Reference UID", "UI";
    TEMPORAL_POSITION = 0x0020_0100, "Temporal Position Identifier", "IS";
    STACK_ID = 0x0020_9056, "Stack ID", "SH";
    FRAME_CONTENT = 0x0020_9111, "Frame Content Sequence", "SQ";
    PLANE_POSITION = 0x0020_9113, "Plane Position Sequence", "SQ";
    PLANE_ORIENTATION = 0x0020_9116, "Plane Orientation Sequence", "SQ";
    TEMPORAL_INDEX = 0x0020_9128, "Temporal Position Index", "UL";
    CARDIAC_DELAY = 0x0020_9153, "Nominal Cardiac Trigger Delay Time", "FD";
    FRAME_ACQUISITION_NUMBER = 0x0020_9156, "Frame Acquisition Number", "US";
    CARDIAC_PERCENTAGE = 0x0020_9241, "Nominal Percentage of Cardiac Phase", "FD";
    RESPIRATORY_PERCENTAGE = 0x0020_9245, "Nominal Percentage of Respiratory Phase", "FD";
    RESPIRATORY_SYNCHRONIZATION = 0x0020_9253, "Respiratory Synchronization Sequence", "SQ";
    TEMPORAL_OFFSET = 0x0020_930d, "Temporal Position Time Offset", "FD";
    TEMPORAL_SEQUENCE = 0x0020_9310, "Temporal Position Sequence", "SQ";
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
    PIXEL_PADDING = 0x0028_0120, "Pixel Padding Value", "US";
    RESCALE_INTERCEPT = 0x0028_1052, "Rescale Intercept", "DS";
    RESCALE_SLOPE = 0x0028_1053, "Rescale Slope", "DS";
    MODALITY_LUT = 0x0028_3000, "Modality LUT Sequence", "SQ";
    LUT_DATA = 0x0028_3006, "LUT Data", "OW";
    PIXEL_MEASURES = 0x0028_9110, "Pixel Measures Sequence", "SQ";
    VALUE_TRANSFORMATION = 0x0028_9145, "Pixel Value Transformation Sequence", "SQ";
    SIEMENS_CSA = 0x0029_1010, "Siemens: CSA Image Header Info", "OB";
    SIEMENS_CSA_MOVED = 0x0029_1110, "Siemens: CSA Image Header Info", "OB";
    GE_B_VALUE = 0x0043_1039, "GE: b-value", "IS";
    DETECTOR_INFORMATION = 0x0054_0022, "Detector Information Sequence", "SQ";
    FRAME_REFERENCE_TIME = 0x0054_1300, "Frame Reference Time", "DS";
    UIH_GRID = 0x0065_1051, "United Imaging: MR VFrame Sequence", "SQ";
    SEGMENTATION_TYPE = 0x0062_0001, "Segmentation Type", "CS";
    SEGMENT_SEQUENCE = 0x0062_0002, "Segment Sequence", "SQ";
    SEGMENT_NUMBER = 0x0062_0004, "Segment Number", "US";
    SEGMENT_LABEL = 0x0062_0005, "Segment Label", "LO";
    SEGMENT_IDENTIFICATION = 0x0062_000a, "Segment Identification Sequence", "SQ";
    REFERENCED_SEGMENT = 0x0062_000b, "Referenced Segment Number", "US";
    MAXIMUM_FRACTION = 0x0062_000e, "Maximum Fractional Value", "US";
    PHILIPS_B_VALUE = 0x2001_1003, "Philips: b-value", "FL";
    SHARED_GROUPS = 0x5200_9229, "Shared Functional Groups Sequence", "SQ";
    FRAME_GROUPS = 0x5200_9230, "Per-Frame Functional Groups Sequence", "SQ";
    FLOAT_PIXELS = 0x7fe0_0008, "Float Pixel Data", "OF";
    DOUBLE_PIXELS = 0x7fe0_0009, "Double Float Pixel Data", "OD";
    PIXEL_DATA = 0x7fe0_0010, "Pixel Data", "OW";
}

/// Those that hold pixels, which end what is of interest.
pub const PIXELS: [Attribute; 3] = [FLOAT_PIXELS, DOUBLE_PIXELS, PIXEL_DATA];
