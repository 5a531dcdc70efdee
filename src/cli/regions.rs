//! Regions that scores are given for: labels together, such as whole tumour, tumour core and enhancing tumour.

use super::error::CliError;
use crate::fields::nearest;
use crate::weights::Metadata;
use crate::weights::package::{BRATS_ORDERS, BratsOrder};

/// Label values that count as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub name: String,
    pub values: Vec<u32>,
}

/// What `--regions` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Regions {
    /// Those of the model's training recipe.
    Training,
    Given(Vec<Region>),
}

/// `training`, the name of an order, or `WT=1,2,4;TC=1,4;ET=4`.
pub(super) fn parse(text: &str) -> Result<Regions, String> {
    if text == "training" {
        return Ok(Regions::Training);
    }
    if let Some(order) = BratsOrder::named(text) {
        let region = |r: &crate::weights::package::BratsRegion| {
            let mut values: Vec<u32> = r.values.iter().map(|v| u32::from(*v)).collect();
            values.sort_unstable();
            Region { name: r.name.to_owned(), values }
        };
        return Ok(Regions::Given(order.regions.iter().map(region).collect()));
    }
    let form = "regions are given as WT=1,2,4;TC=1,4;ET=4";
    if !text.contains('=') {
        let known: Vec<&str> = BRATS_ORDERS.iter().map(|order| order.name).chain(["training"]).collect();
        let near = nearest(text, known.iter().copied()).unwrap_or_default();
        return Err(format!("no such name; the nearest is {near} (known: {}); or {form}", known.join(", ")));
    }
    let mut regions: Vec<Region> = Vec::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, values) = part.split_once('=').ok_or_else(|| format!("\"{part}\": {form}"))?;
        let name = name.trim().to_owned();
        let values = values.split(',').map(|v| v.trim().parse::<u32>().ok().filter(|v| *v > 0));
        let values = values.collect::<Option<Vec<u32>>>().ok_or_else(|| format!("\"{part}\": {form}"))?;
        if name.is_empty() || regions.iter().any(|r| r.name == name) {
            return Err(format!("\"{part}\": each region needs a name of its own"));
        }
        regions.push(Region { name, values });
    }
    match regions.is_empty() {
        true => Err(form.to_owned()),
        false => Ok(Regions::Given(regions)),
    }
}

impl Regions {
    /// The regions themselves.
    ///
    /// # Errors
    /// Those of the training are asked for, and the model has none, or there is no model.
    pub fn resolve(&self, model: Option<&Metadata>) -> Result<Vec<Region>, CliError> {
        let Self::Given(regions) = self else {
            let Some(model) = model else {
                return Err(CliError::usage("--regions training: --model is needed, whose training has them"));
            };
            return of_training(model);
        };
        Ok(regions.clone())
    }
}

/// `data.regions` of the recipe that a package keeps.
fn of_training(model: &Metadata) -> Result<Vec<Region>, CliError> {
    let recipe = model.training.get("recipe");
    let list = recipe.and_then(|r| r.get("data")?.get("regions")?.as_array()).filter(|list| !list.is_empty());
    let Some(list) = list else {
        return Err(CliError::usage(
            "--regions training: the model's package has no data.regions of its training; give them, as in WT=1,2,4;TC=1,4;ET=4",
        ));
    };
    let region = |entry: &serde_json::Value| {
        let channel = entry.get("channel")?.as_u64()?;
        let values = entry.get("values")?.as_array()?;
        let values: Vec<u32> = values.iter().filter_map(|v| u32::try_from(v.as_u64()?).ok()).collect();
        let painted = model.output.regions.iter().find(|r| r.channel as u64 == channel);
        let own = painted.map_or_else(|| format!("channel_{channel}"), |r| model.output.label_name(r.value));
        let name = entry.get("name").and_then(|n| n.as_str()).map_or(own, str::to_owned);
        Some(Region { name, values })
    };
    Ok(list.iter().filter_map(region).collect())
}

/// 1 where a voxel belongs to the region.
pub(super) fn mask(labels: &[u32], region: &Region) -> Vec<u32> {
    labels.iter().map(|v| u32::from(region.values.contains(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_given_by_name_or_value() {
        let own = |list: &[(&str, &[u32])]| {
            let region = |(name, values): &(&str, &[u32])| Region { name: (*name).into(), values: values.to_vec() };
            Ok(Regions::Given(list.iter().map(region).collect()))
        };
        let brats = own(&[("WT", &[1, 2, 4]), ("TC", &[1, 4]), ("ET", &[4])]);
        assert_eq!(parse("brats-monai"), brats);
        assert_eq!(parse("WT=1,2,4; TC=1,4;ET=4"), brats);
        assert_eq!(parse("brats-nnunet"), own(&[("WT", &[1, 2, 3]), ("TC", &[2, 3]), ("ET", &[3])]));
        assert_eq!(parse("training"), Ok(Regions::Training));
        for (text, words) in
            [("brats", "the nearest is brats-"), ("WT=a", "WT=1,2,4"), ("A=1;A=2", "a name of its own"), ("=1", "name")]
        {
            let error = parse(text).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        let region = Region { name: "x".into(), values: vec![2, 5] };
        assert_eq!(mask(&[0, 2, 3, 5], &region), [0, 1, 0, 1]);
    }
}
