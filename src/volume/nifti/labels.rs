//! Label names and colours as a NIfTI extension.
//!
//! The XML is Caret's `LabelTable` in the form TotalSegmentator writes, so that Connectome Workbench
//! and TotalSegmentator's own loader show the names.

use std::fmt::Write;

use super::extension::{CARET, Extension};
use crate::volume::codes::LabelCodes;

/// Name and colour of one label value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelName {
    pub value: u16,
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// What it is, in the words of a terminology.
    pub codes: Option<Box<LabelCodes>>,
}

pub(super) fn label_table(names: &[LabelName]) -> Extension {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CaretExtension>\n\
         <VolumeInformation Index=\"0\">\n<LabelTable>\n",
    );
    for label in names {
        let [red, green, blue] = label.color.map(|c| f64::from(c) / 255.0);
        // Control characters are not allowed in XML, and "]]>" would end the section.
        let name: String = label.name.chars().filter(|c| !c.is_control()).collect();
        let name = name.replace("]]>", "]] >");
        // Writing to a String cannot fail.
        let _ = writeln!(
            xml,
            "<Label Key=\"{}\" Red=\"{red:.6}\" Green=\"{green:.6}\" Blue=\"{blue:.6}\" \
             Alpha=\"1\"><![CDATA[{name}]]></Label>",
            label.value
        );
    }
    xml.push_str(
        "</LabelTable>\n<StudyMetaDataLinkSet>\n</StudyMetaDataLinkSet>\n\
         <VolumeType><![CDATA[Label]]></VolumeType>\n</VolumeInformation>\n</CaretExtension>\n",
    );
    Extension { code: CARET, data: xml.into_bytes() }
}
