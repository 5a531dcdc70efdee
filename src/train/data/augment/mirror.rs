//! Labels that come in pairs, a left one and a right one: what a mirror along the patient's left-right axis does to them.
//!
//! The mirror image of a left kidney looks like a right kidney and lies where right kidneys lie. So `mirror_pairs` names
//! the pairs (after `relabel`) and such a flip swaps their values. Labels whose names speak of a side and that no pair
//! names are a reason to refuse the flip: the network would be taught that sides do not matter. A label that stays itself
//! (`[v, v]`) can be named, too.
//!
//! The left-right axis of the model's grid is that of `input.orientation`. Flips along the other axes and rotations keep
//! the values: what lay left of the midline still does, or is recognised by its shape.

use std::collections::BTreeSet;

use crate::train::data::error::DataError;
use crate::train::data::recipe::DataRecipe;
use crate::train::data::target::Target;
use crate::volume::Orientation;
use crate::weights::package::{InputSection, OutputSection};

/// What flips do to labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The axis from left to right, if any pair is declared.
    axis: Option<usize>,
    pairs: Vec<[u16; 2]>,
}

impl Mirror {
    /// # Errors
    /// A pair of unknown labels or a label in two pairs; a flip that would teach wrong sides.
    pub fn new(
        flip: [f64; 3],
        pairs: &[[u16; 2]],
        data: &DataRecipe,
        target: &Target,
        input: &InputSection,
        output: &OutputSection,
    ) -> Result<Self, DataError> {
        let mut paired = BTreeSet::new();
        for (at, pair) in pairs.iter().enumerate() {
            let bad = |problem: String| {
                Err(DataError::recipe(format!("augment.mirror_pairs[{at}]"), format!("{pair:?}"), problem))
            };
            if let Some(value) = pair.iter().find(|v| **v == 0 || !target.knows(**v)) {
                return bad(format!("{value} is no label of the network; known are {}", target.labels()));
            }
            let distinct: BTreeSet<u16> = pair.iter().copied().collect();
            if let Some(value) = distinct.into_iter().find(|value| !paired.insert(*value)) {
                return bad(format!("{value} belongs to another pair already"));
            }
        }
        let axis = left_right(input)?;
        for (at, prob) in flip.iter().enumerate().filter(|(_, prob)| **prob > 0.0) {
            let refuse = |problem: String| Err(DataError::recipe(format!("augment.flip[{at}]"), prob, problem));
            let unpaired = sided(data, output).into_iter().find(|(_, value)| !paired.contains(value));
            match (axis, unpaired) {
                (None, Some((name, _))) => {
                    return refuse(format!(
                        "the label \"{name}\" has a side, and input.orientation is null: it is not known which axis runs \
                         from left to right; give an orientation such as \"RAS\" or set flip to [0, 0, 0]"
                    ));
                }
                (None, None) if !pairs.is_empty() => {
                    return refuse(
                        "augment.mirror_pairs are declared and input.orientation is null: it is not known which axis runs \
                         from left to right; give an orientation such as \"RAS\""
                            .into(),
                    );
                }
                (Some(axis), Some((name, value))) if axis == at => {
                    return refuse(format!(
                        "this axis runs from left to right, and a mirror would make the label {value} (\"{name}\") one of the \
                         other side: declare the pair as in augment.mirror_pairs = [[{value}, ...]] ([[{value}, {value}]] if \
                         it stays itself), or set the probability to 0"
                    ));
                }
                _ => {}
            }
        }
        Ok(Self { axis: axis.filter(|_| !pairs.is_empty()), pairs: pairs.to_vec() })
    }

    /// Swaps the values of each pair, if the window was mirrored from left to right.
    pub fn apply(&self, flip: [bool; 3], label: &mut [u16]) {
        if self.axis.is_none_or(|axis| flip.get(axis) != Some(&true)) {
            return;
        }
        let other = |value: u16| {
            let pair = self.pairs.iter().find(|pair| pair.contains(&value))?;
            Some(if pair[0] == value { pair[1] } else { pair[0] })
        };
        for run in label.chunk_by_mut(|a, b| a == b) {
            if let Some(value) = run.first().and_then(|value| other(*value)) {
                run.fill(value);
            }
        }
    }
}

/// The axis of the model's grid along the patient's left and right; `None` where scans keep their own axes.
fn left_right(input: &InputSection) -> Result<Option<usize>, DataError> {
    let Some(codes) = input.preprocess.axcodes() else {
        return Ok(None);
    };
    let orientation = Orientation::from_codes(&codes)
        .map_err(|e| DataError::recipe("input.orientation", format!("{codes:?}"), e.to_string()))?;
    Ok(orientation.axis.iter().position(|world| *world == 0))
}

/// Names and values of the labels whose names speak of a side.
fn sided(data: &DataRecipe, output: &OutputSection) -> Vec<(String, u16)> {
    let mut found = Vec::new();
    for label in output.labels.iter().filter(|label| label.has_side()) {
        let painting = output.regions.iter().filter(|region| region.value == label.value);
        let channels: Vec<usize> = painting.map(|region| region.channel).collect();
        if output.regions.is_empty() {
            found.push((label.name.clone(), label.value));
        }
        let regions = data.regions.iter().filter(|region| channels.contains(&region.channel));
        found.extend(regions.flat_map(|region| &region.values).map(|value| (label.name.clone(), *value)));
    }
    found
}
