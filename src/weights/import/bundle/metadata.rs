//! `configs/metadata.json`: names, labels, channels, and what is told of the model.

use serde_json::{Map, Value, json};

use super::super::files::FileSet;

/// The release of MONAI that a bundle was made with; what changed between releases is asked here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MonaiRelease(Option<(u32, u32)>);

impl MonaiRelease {
    fn of(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.trim().parse::<u32>().ok());
        Self(parts.next().flatten().zip(parts.next().flatten()))
    }

    /// Whether a foreground box with a margin ends with the image, `allow_smaller`: so up to 1.4.
    pub fn crops_within(self) -> bool {
        self.0.is_some_and(|release| release < (1, 5))
    }
}

/// What the metadata say.
#[derive(Debug, Default)]
pub(super) struct About {
    pub release: MonaiRelease,
    /// As it is written.
    pub monai_version: Option<String>,
    /// Names of the images, `image` as a rule.
    pub inputs: Vec<String>,
    /// What each channel of the image shows.
    pub channels: Vec<String>,
    /// Names of the network's outputs by channel.
    pub outputs: Vec<(usize, String)>,
    /// The package's own fields: name, version, licence, citation, card.
    pub fields: Map<String, Value>,
}

/// Texts of licences, by what they begin with.
const LICENCES: [(&str, &str); 8] = [
    ("apache license", "Apache-2.0"),
    ("licensed under the apache license, version 2.0", "Apache-2.0"),
    ("mit license", "MIT"),
    ("bsd 3-clause", "BSD-3-Clause"),
    ("attribution-noncommercial 4.0", "CC-BY-NC-4.0"),
    ("attribution 4.0 international", "CC-BY-4.0"),
    ("creative commons attribution 4.0", "CC-BY-4.0"),
    ("attribution-sharealike 4.0", "CC-BY-SA-4.0"),
];
/// Names of a channel that say nothing.
const NAMELESS: [&str; 5] = ["image", "img", "images", "input", "intensity"];

/// Text under a key.
fn text<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    map.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// `channel_def` in the order of its numbers.
fn definitions(format: Option<&Value>) -> Vec<(usize, String)> {
    let mut names: Vec<(usize, String)> = match format.and_then(|format| format.get("channel_def")) {
        Some(Value::Object(map)) => {
            let name =
                |(key, name): (&String, &Value)| Some((key.trim().parse().ok()?, name.as_str()?.trim().to_owned()));
            map.iter().filter_map(name).collect()
        }
        Some(Value::Array(list)) => {
            let name = |(at, name): (usize, &Value)| Some((at, name.as_str()?.trim().to_owned()));
            list.iter().enumerate().filter_map(name).collect()
        }
        _ => Vec::new(),
    };
    names.retain(|(_, name)| !name.is_empty());
    names.sort();
    names
}

/// The format of `kind`: `preferred`, or the only one.
fn format_of<'v>(metadata: &'v Map<String, Value>, kind: &str, preferred: &str) -> Option<&'v Value> {
    let formats = metadata.get("network_data_format")?.get(kind)?.as_object()?;
    formats.get(preferred).or_else(|| formats.values().next())
}

impl About {
    /// Reads the metadata of a bundle; what is absent or of another form is left out.
    pub fn read(files: &FileSet, metadata: &Map<String, Value>) -> Self {
        let input = format_of(metadata, "inputs", "image");
        let inputs = metadata.get("network_data_format").and_then(|f| f.get("inputs")?.as_object());
        let modality = input.and_then(|input| input.get("modality")?.as_str()).map(str::trim).filter(|m| !m.is_empty());
        let mut channels: Vec<String> = definitions(input).into_iter().map(|(_, name)| name).collect();
        if let ([only], Some(modality)) = (channels.as_mut_slice(), modality)
            && NAMELESS.contains(&only.to_lowercase().as_str())
        {
            *only = modality.to_owned();
        }
        let monai_version = text(metadata, "monai_version").map(str::to_owned);
        Self {
            release: monai_version.as_deref().map(MonaiRelease::of).unwrap_or_default(),
            monai_version,
            inputs: inputs.map(|map| map.keys().cloned().collect()).unwrap_or_default(),
            channels,
            outputs: definitions(format_of(metadata, "outputs", "pred")),
            fields: fields(files, metadata, modality),
        }
    }
}

fn fields(files: &FileSet, metadata: &Map<String, Value>, modality: Option<&str>) -> Map<String, Value> {
    let mut fields = Map::new();
    let name = text(metadata, "name").or(Some(files.name()).filter(|name| !name.is_empty())).or(text(metadata, "task"));
    let mut put = |key: &str, value: Option<String>| value.map(|value| fields.insert(key.to_owned(), json!(value)));
    put("name", name.map(str::to_owned));
    put("version", text(metadata, "version").map(str::to_owned));
    put("licence", text(metadata, "license").map(str::to_owned).or_else(|| licence(files)));
    let references = match metadata.get("references") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::trim).collect::<Vec<_>>().join("\n"),
        Some(Value::String(one)) => one.clone(),
        _ => String::new(),
    };
    put("citation", Some(references).filter(|text| !text.is_empty()));
    put("card", card(metadata, modality));
    fields
}

/// The licence's identifier where its text is known, else where the text is.
fn licence(files: &FileSet) -> Option<String> {
    let path = ["LICENSE", "LICENSE.txt", "LICENSE.md", "docs/license.txt"].into_iter().find(|path| files.has(path))?;
    let text = files.text(path).ok()?.to_lowercase();
    let start: String = text.split_whitespace().take(60).collect::<Vec<_>>().join(" ");
    let known = LICENCES.iter().find(|(words, _)| start.contains(words));
    Some(known.map_or_else(|| format!("see {path} of the bundle"), |(_, name)| (*name).to_owned()))
}

/// What people read: Markdown.
fn card(metadata: &Map<String, Value>, modality: Option<&str>) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(text(metadata, "task").map(|task| format!("# {task}")));
    parts.extend(text(metadata, "description").map(str::to_owned));
    parts.extend(modality.map(|modality| format!("Modality: {modality}")));
    let about = [
        ("Intended use", "intended_use"),
        ("Data", "data_source"),
        ("Image", "image_classes"),
        ("Labels", "label_classes"),
        ("Authors", "authors"),
        ("Copyright", "copyright"),
    ];
    parts.extend(about.iter().filter_map(|(title, key)| Some(format!("{title}: {}", text(metadata, key)?))));
    if let Some(Value::Object(metrics)) = metadata.get("eval_metrics")
        && !metrics.is_empty()
    {
        let each: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
        parts.push(format!("Scores, as its makers give them: {}", each.join(", ")));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}
