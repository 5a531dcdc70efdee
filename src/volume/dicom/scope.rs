//! Where the attributes of a frame are looked for: in its own functional groups, then in the shared ones, then at the top
//! level (PS3.3, C.7.6.16). Attribute by attribute, and whichever group holds it: writers do not agree on where.

use super::error::DicomError;
use super::tags::{self, Attribute};
use super::values::DataSet;

pub(super) struct Scope<'a> {
    levels: Vec<DataSet<'a>>,
}

impl<'a> Scope<'a> {
    /// The scopes of `count` frames.
    ///
    /// # Errors
    /// Groups of another number of frames, or damaged ones.
    pub fn of_frames(data: &DataSet<'a>, count: usize) -> Result<Vec<Self>, DicomError> {
        let mut common = vec![data.item(&tags::SHARED_GROUPS)?.flat()?, data.clone()];
        common.push(data.item(&tags::DETECTOR_INFORMATION)?);
        let own = data.items(&tags::FRAME_GROUPS)?;
        if own.is_empty() {
            return Ok(vec![Self { levels: common }]);
        }
        if own.len() != count {
            let problem = format!("{} items for {count} frames", own.len());
            return Err(DicomError::attribute(&tags::FRAME_GROUPS, problem));
        }
        let scope = |own: DataSet<'a>| -> Result<Self, DicomError> {
            Ok(Self { levels: [vec![own.flat()?], common.clone()].concat() })
        };
        own.into_iter().map(scope).collect()
    }

    fn holder(&self, attribute: &Attribute) -> Option<&DataSet<'a>> {
        self.levels.iter().find(|set| set.has(attribute))
    }

    pub fn has(&self, attribute: &Attribute) -> bool {
        self.holder(attribute).is_some()
    }

    pub fn text(&self, attribute: &Attribute) -> Option<String> {
        self.holder(attribute)?.text(attribute)
    }

    pub fn list(&self, attribute: &Attribute) -> Result<Option<Vec<f64>>, DicomError> {
        self.holder(attribute).map_or(Ok(None), |set| set.list(attribute))
    }

    pub fn numbers<const N: usize>(&self, attribute: &Attribute) -> Result<Option<[f64; N]>, DicomError> {
        self.holder(attribute).map_or(Ok(None), |set| set.numbers(attribute))
    }

    /// One number: of several equal ones, that.
    pub fn number(&self, attribute: &Attribute) -> Result<Option<f64>, DicomError> {
        let Some(all) = self.list(attribute)? else { return Ok(None) };
        match all.split_first() {
            Some((first, rest)) if rest.iter().all(|v| v == first) => Ok(Some(*first)),
            _ => Err(DicomError::attribute(attribute, "one number is needed")),
        }
    }
}
