//! Connected components of labels, and what of them is kept.
//!
//! Voxels of one label belong together where they touch by a face, an edge or a corner (26 neighbours). Components are
//! joined by `petgraph`'s union-find over the 13 neighbours that come before a voxel.
//!
//! # Units
//! Sizes are voxels and millilitres; a component of the same size as the largest that comes later is no larger.

use std::collections::BTreeMap;

use petgraph::unionfind::UnionFind;

use super::LabelMap;
use super::crop::Box3;

/// What of a label's components is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeepRule {
    /// Only the largest.
    pub largest: bool,
    /// Only those of at least so many millilitres.
    pub min_ml: f64,
}

/// What was taken away from a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub components: usize,
    /// Their voxels.
    pub voxels: usize,
}

/// Sets components to background that the rule of their label does not keep; tells what went from each label.
///
/// # Shapes
/// `labels` `(X, Y, Z)`, changed in place. Labels without a rule are left alone.
pub fn remove_components(labels: &mut LabelMap, rules: &BTreeMap<u16, KeepRule>) -> BTreeMap<u16, Removed> {
    let mut removed: BTreeMap<u16, Removed> = rules.keys().map(|label| (*label, Removed::default())).collect();
    let Some(region) = bounds(labels, rules) else { return removed };
    let [nx, ny, nz] = region.dims;
    let start = region.start.map(|s| s as usize);
    let voxel = |at: usize| {
        let [x, y, z] = [at / (ny * nz), at / nz % ny, at % nz];
        let [_, all_y, all_z] = labels.dims;
        ((x + start[0]) * all_y + y + start[1]) * all_z + z + start[2]
    };
    let places: Vec<usize> = (0..nx * ny * nz).filter(|&at| rules.contains_key(&labels.data[voxel(at)])).collect();
    let mut sets = UnionFind::<u32>::new(nx * ny * nz);
    for &at in &places {
        let label = labels.data[voxel(at)];
        for before in neighbours_before(at, region.dims).filter(|&before| labels.data[voxel(before)] == label) {
            sets.union(at as u32, before as u32);
        }
    }
    let roots = sets.into_labeling();
    let mut sizes = vec![0_u32; roots.len()];
    places.iter().for_each(|&at| sizes[roots[at] as usize] += 1);
    // In order of their first voxels, so that the first of two equal ones counts as the largest.
    let mut largest: BTreeMap<u16, u32> = BTreeMap::new();
    for &at in &places {
        let best = largest.entry(labels.data[voxel(at)]).or_insert(roots[at]);
        if sizes[roots[at] as usize] > sizes[*best as usize] {
            *best = roots[at];
        }
    }
    let ml = labels.affine.voxel_mm3() / 1000.0;
    let mut gone = Vec::new();
    for &at in &places {
        let (place, root) = (voxel(at), roots[at]);
        let label = labels.data[place];
        let is_largest = largest.get(&label) == Some(&root);
        let keep = rules
            .get(&label)
            .is_none_or(|rule| (!rule.largest || is_largest) && f64::from(sizes[root as usize]) * ml >= rule.min_ml);
        if !keep {
            let told = removed.entry(label).or_default();
            told.components += usize::from(root as usize == at);
            told.voxels += 1;
            gone.push(place);
        }
    }
    for place in gone {
        labels.data[place] = 0;
    }
    removed
}

/// The smallest box around the labels that have a rule.
fn bounds(labels: &LabelMap, rules: &BTreeMap<u16, KeepRule>) -> Option<Box3> {
    let [_, ny, nz] = labels.dims;
    let (mut low, mut high) = (labels.dims, [0; 3]);
    for (at, _) in labels.data.iter().enumerate().filter(|(_, label)| rules.contains_key(label)) {
        for (axis, v) in [at / (ny * nz), at / nz % ny, at % nz].into_iter().enumerate() {
            low[axis] = low[axis].min(v);
            high[axis] = high[axis].max(v + 1);
        }
    }
    let dims = [0, 1, 2].map(|axis| high[axis].saturating_sub(low[axis]));
    // Places in the box are counted in 32 bits.
    (dims.iter().all(|d| *d > 0) && dims.iter().product::<usize>() < u32::MAX as usize)
        .then_some(Box3::within(low, dims))
}

/// The neighbours of a voxel that come before it in memory: 13 in the middle of the volume.
fn neighbours_before(at: usize, [nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = usize> {
    let (x, y, z) = (at / (ny * nz), at / nz % ny, at % nz);
    let steps = [-1_isize, 0, 1];
    let all =
        steps.into_iter().flat_map(move |dx| steps.into_iter().flat_map(move |dy| steps.map(move |dz| (dx, dy, dz))));
    let inside = |v: usize, d: isize, n: usize| v.checked_add_signed(d).filter(|v| *v < n);
    all.take_while(|step| *step != (0, 0, 0)).filter_map(move |(dx, dy, dz)| {
        let (x, y, z) = (inside(x, dx, nx)?, inside(y, dy, ny)?, inside(z, dz, nz)?);
        Some((x * ny + y) * nz + z)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    /// `scipy.ndimage.label(mask, numpy.ones((3, 3, 3)))` of SciPy 1.17.1 finds the same components.
    #[test]
    fn corners_connect_and_borders_do_not() {
        let mut data = vec![0_u16; 4 * 4 * 4];
        let at = |x: usize, y: usize, z: usize| (x * 4 + y) * 4 + z;
        for place in [at(0, 0, 0), at(1, 1, 1), at(2, 2, 2)] {
            data[place] = 1;
        }
        // A row's end and the next row's start are neighbours in memory only.
        data[at(0, 2, 3)] = 1;
        data[at(0, 3, 0)] = 2;
        data[at(3, 3, 3)] = 2;
        data[at(3, 3, 2)] = 2;
        let mut labels = LabelMap::new(data, [4; 3], Affine::IDENTITY).expect("labels");
        let rules = BTreeMap::from([(1, KeepRule { largest: true, min_ml: 0.0 })]);
        let removed = remove_components(&mut labels, &rules);
        assert_eq!(removed, BTreeMap::from([(1, Removed { components: 1, voxels: 1 })]));
        assert_eq!(labels.counts().into_iter().collect::<Vec<_>>(), [(0, 58), (1, 3), (2, 3)]);
        let rules = BTreeMap::from([(2, KeepRule { largest: false, min_ml: 0.0015 })]);
        let removed = remove_components(&mut labels, &rules);
        assert_eq!(removed[&2], Removed { components: 1, voxels: 1 });
        assert_eq!((labels.data[at(0, 3, 0)], labels.data[at(3, 3, 3)]), (0, 2));
        // Of two of one size the first is kept.
        let mut twins = LabelMap::new(vec![3, 0, 3], [1, 1, 3], Affine::IDENTITY).expect("labels");
        remove_components(&mut twins, &BTreeMap::from([(3, KeepRule { largest: true, min_ml: 0.0 })]));
        assert_eq!(twins.data, [3, 0, 0]);
    }
}
