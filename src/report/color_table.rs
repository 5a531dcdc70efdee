//! Names and colours of labels as the tables of other programs.

use std::fmt::Write;

use serde_json::json;

use crate::volume::nifti::LabelName;

/// A program's table of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorTable {
    /// NiiVue's colour map of labels, JSON.
    NiiVue,
    /// ITK-SNAP's label descriptions.
    ItkSnap,
    /// FreeSurfer's colour lookup table, which 3D Slicer reads too.
    FreeSurfer,
}

impl ColorTable {
    /// Endings of file names in small letters, longer before shorter.
    pub const ENDINGS: &[(&str, Self)] =
        &[("lut.txt", Self::FreeSurfer), (".json", Self::NiiVue), (".label", Self::ItkSnap), (".txt", Self::ItkSnap)];

    /// The table that a file's name asks for.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, table)| *table)
    }

    /// The table as text, with a line for what is no label.
    #[must_use]
    pub fn text(self, labels: &[LabelName]) -> String {
        match self {
            Self::NiiVue => niivue(labels),
            Self::ItkSnap => itk_snap(labels),
            Self::FreeSurfer => freesurfer(labels),
        }
    }
}

fn niivue(labels: &[LabelName]) -> String {
    let channel = |pick: fn(&LabelName) -> u16| std::iter::once(0).chain(labels.iter().map(pick)).collect::<Vec<u16>>();
    let names: Vec<&str> = std::iter::once("background").chain(labels.iter().map(|l| l.name.as_str())).collect();
    let table = json!({
        "R": channel(|l| l.color[0].into()), "G": channel(|l| l.color[1].into()), "B": channel(|l| l.color[2].into()),
        "A": channel(|_| 255), "I": channel(|l| l.value), "labels": names,
    });
    table.to_string() + "\n"
}

/// Names without what ends them in the other programs.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect()
}

fn itk_snap(labels: &[LabelName]) -> String {
    let mut text = String::from(
        "################################################\n# ITK-SnAP Label Description File\n# File format:\n\
         # IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n################################################\n\
         \x20   0     0    0    0        0  0  0    \"Clear Label\"\n",
    );
    for label in labels {
        let [red, green, blue] = label.color;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>5}   {red:>3}  {green:>3}  {blue:>3}        1  1  1    \"{}\"",
            label.value,
            plain(&label.name)
        );
    }
    text
}

fn freesurfer(labels: &[LabelName]) -> String {
    let mut text = String::from(
        "#No. Label Name:                            R   G   B   A\n0    Unknown                                 0   0   0   0\n",
    );
    for label in labels {
        let [red, green, blue] = label.color;
        // A blank ends a name.
        let name: String = plain(&label.name).split_whitespace().collect::<Vec<_>>().join("-");
        let _ = writeln!(text, "{:<4} {name:<39} {red:<3} {green:<3} {blue:<3} 0", label.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_those_of_the_programs() {
        let label = |value, name: &str, color| LabelName { value, name: name.into(), color, codes: None };
        let labels = [label(1, "left \"kidney\"", [200, 8, 60]), label(17, "liver", [0, 255, 7])];
        let table = |name| ColorTable::of_name(name).expect("known").text(&labels);
        let niivue: serde_json::Value = serde_json::from_str(&table("a.json")).expect("JSON");
        assert_eq!(niivue["I"], json!([0, 1, 17]));
        assert_eq!((&niivue["A"], &niivue["G"]), (&json!([0, 255, 255]), &json!([0, 8, 255])));
        assert_eq!(niivue["labels"], json!(["background", "left \"kidney\"", "liver"]));
        assert_eq!(table("a.txt"), table("b.label"));
        assert!(table("a.txt").ends_with("\n    1   200    8   60        1  1  1    \"left  kidney \"\n   17     0  255    7        1  1  1    \"liver\"\n"));
        let fields: Vec<Vec<String>> = table("my_LUT.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(fields[1], ["1", "left-kidney", "200", "8", "60", "0"]);
        assert_eq!(fields[2], ["17", "liver", "0", "255", "7", "0"]);
        assert_eq!(ColorTable::of_name("a.csv"), None);
    }
}
