//! Which of several files is which channel, by their names.
//!
//! A study of four MR contrasts is four files, and a shell or a drop gives them in the order of the alphabet, which is
//! hardly ever the model's. Nothing in the numbers tells: the result is wrong without a word. A name that says another
//! contrast than its place is therefore refused.
//!
//! Understood are the names of contrasts as BraTS, BIDS and scanners write them: weighting (`T1w`), sequence (`mprage`,
//! `tirm dark-fluid`), contrast agent (`t1_km`, `ce-gadolinium`). Of a BIDS name its suffix counts; entities such as
//! `space-T1w` name no contrast.
//!
//! # Source
//! BIDS 1.10, entities and suffixes; BraTS 2023 and earlier; sequence names of Siemens, GE and Philips.

use super::{Volume, VolumeError};

/// Names of one contrast, letters and digits alone; the first stands for all.
const CONTRASTS: [&[&str]; 10] = [
    &["t1", "t1w", "t1n", "t1weighted", "inplanet1", "unit1"],
    &[ENHANCED, "t1ce", "t1c", "t1gad", "t1post", "t1contrast", "t1wce", "t1wgd", "cet1", "cet1w", "t1km", "t1wkm"],
    &["t2", "t2w", "t2weighted", "inplanet2"],
    &["flair", "t2f", "t2flair", "t2wflair", "tirm", "darkfluid"],
    &["dwi", "trace"],
    &["adc"],
    &["pd", "pdw"],
    &["t2star", "t2starw"],
    &["swi"],
    &["t1map", "t2map", "t1rho"],
];
const ENHANCED: &str = "t1gd";
/// Sequences that stand for a weighting where the name says no other.
const SEQUENCES: [(&str, &[&str]); 2] = [
    ("t1", &["mprage", "mp2rage", "bravo", "spgr", "fspgr", "irspgr", "flash", "vibe", "tfl", "tfe"]),
    ("t2", &["tse", "fse", "blade", "haste", "propeller"]),
];
/// Words for a contrast agent.
const AGENTS: [&str; 18] = [
    "gd",
    "km",
    "gad",
    "gado",
    "gadolinium",
    "gadovist",
    "gadobutrol",
    "dotarem",
    "magnevist",
    "multihance",
    "omniscan",
    "ce",
    "kontrastmittel",
    "postcontrast",
    "postgd",
    "postgad",
    "postgado",
    "postkm",
];
/// Words for one where they follow a T1 contrast.
const AGENTS_BEHIND: [&str; 5] = ["post", "contrast", "kontrast", "enhanced", "enh"];
/// Words that take a contrast agent back where they stand before it.
const WITHOUT: [&str; 9] = ["pre", "no", "non", "ohne", "without", "vor", "sans", "before", "wo"];
/// BIDS entities, whose values name no contrast.
const ENTITIES: [&str; 32] = [
    "sub",
    "ses",
    "sample",
    "task",
    "tracksys",
    "acq",
    "nuc",
    "voi",
    "trc",
    "stain",
    "rec",
    "dir",
    "run",
    "mod",
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "proc",
    "hemi",
    "space",
    "split",
    "recording",
    "chunk",
    "atlas",
    "seg",
    "res",
    "den",
    "label",
    "desc",
    "from",
];
/// Those that appear in names that are not BIDS's otherwise, and mean the same there.
const LOOSE_ENTITIES: [&str; 4] = ["space", "acq", "rec", "desc"];

/// Words of a file name that can make up one channel's name.
const LONGEST: usize = 4;

/// One spelling for the names of one contrast: `T1-Gd`, `t1ce` and `T1 post contrast` are the same.
#[must_use]
pub fn common_name(name: &str) -> String {
    let plain = letters(name);
    let known = common(&plain);
    if is_known(known) {
        return known.to_owned();
    }
    match &contrasts(name, &[])[..] {
        [only] => only.clone(),
        _ => plain,
    }
}

/// For each of `channels` the index of its file. `None` unless every name holds exactly one channel's name, each another.
///
/// Upper and lower case are the same; a name is cut at everything that is no letter or digit. Neighbouring words also
/// count as one, and the longest reading holds: `T2_FLAIR` is FLAIR and not T2.
#[must_use]
pub fn by_name<S: AsRef<str>>(files: &[S], channels: &[String]) -> Option<Vec<usize>> {
    let channels: Vec<String> = channels.iter().map(|c| common_name(c)).collect();
    let mut order = vec![None; channels.len()];
    for (at, file) in files.iter().enumerate() {
        let contrasts = contrasts(file.as_ref(), &channels);
        let mut found = channels.iter().enumerate().filter(|(_, c)| contrasts.contains(c));
        let (Some((channel, _)), None) = (found.next(), found.next()) else {
            return None;
        };
        if order[channel].replace(at).is_some() {
            return None;
        }
    }
    order.into_iter().collect()
}

/// For each of `channels` the index of its file, by name or else as given; and what the user is to be told: which file is
/// which channel, where that was not plain.
///
/// # Errors
/// The names do not tell all channels, and one of them says another contrast than its place.
pub fn order<S: AsRef<str>>(files: &[S], channels: &[String]) -> Result<(Vec<usize>, Option<String>), VolumeError> {
    let given: Vec<usize> = (0..files.len()).collect();
    let list = |order: &[usize]| {
        let pair = |(channel, &at): (&String, &usize)| format!("{channel} = {}", files[at].as_ref());
        channels.iter().zip(order).map(pair).collect::<Vec<_>>().join(", ")
    };
    if let Some(order) = by_name(files, channels) {
        let told = "the files were put into the model's order by their names";
        let told = (order != given).then(|| format!("{told}: {}", list(&order)));
        return Ok((order, told));
    }
    if files.len() == channels.len() {
        contradiction(files, channels)?;
    }
    if files.len() < 2 {
        return Ok((given, None));
    }
    let why = "the file names do not tell the channels, so they are taken in the order given";
    let told = format!("{why}: {}", list(&given));
    Ok((given, Some(told)))
}

/// # Errors
/// A file's name holds one contrast, and it is not that of the file's place.
fn contradiction<S: AsRef<str>>(files: &[S], channels: &[String]) -> Result<(), VolumeError> {
    let common: Vec<String> = channels.iter().map(|c| common_name(c)).collect();
    for (at, (file, place)) in files.iter().zip(&common).enumerate() {
        let found = contrasts(file.as_ref(), &common);
        let [named] = &found[..] else { continue };
        let channel = common.iter().position(|c| c == named);
        // What is neither a channel nor a contrast like the place's says nothing of the place.
        if named == place || (channel.is_none() && !is_known(place)) {
            continue;
        }
        return Err(VolumeError::Channel {
            file: file.as_ref().to_owned(),
            named: channel.map_or_else(|| named.clone(), |c| channels[c].clone()),
            place: at,
            channels: channels.to_vec(),
        });
    }
    Ok(())
}

/// Puts the channels of a study of one file each into the order of `channels`, and `files` with them. Gives what the user
/// is to be told: which file is which channel, where that was not plain.
///
/// # Errors
/// As [`order`].
pub fn arrange<T>(
    volume: &mut Volume,
    files: &mut Vec<T>,
    name: impl Fn(&T) -> &str,
    channels: &[String],
) -> Result<Option<String>, VolumeError> {
    let n = channels.len();
    if files.len() != n || volume.channels != n {
        return Ok(None);
    }
    let (order, told) = order(&files.iter().map(&name).collect::<Vec<_>>(), channels)?;
    if order.is_sorted() {
        return Ok(told);
    }
    volume.reorder(&order);
    let mut old: Vec<Option<T>> = files.drain(..).map(Some).collect();
    files.extend(order.iter().filter_map(|&at| old[at].take()));
    Ok(told)
}

/// The contrasts that a file name holds, each by its common name: those of `channels`, and the known ones, which may
/// hide a shorter one.
fn contrasts(file: &str, channels: &[String]) -> Vec<String> {
    let stem = super::study::stem(file).to_ascii_lowercase();
    let parts: Vec<&str> = stem.split('_').collect();
    let is_bids = parts.iter().any(|part| part.starts_with("sub-"));
    let entities: &[&str] = if is_bids { &ENTITIES } else { &LOOSE_ENTITIES };
    let entity = |part: &str| part.split_once('-').is_some_and(|(key, _)| entities.contains(&key));
    // BIDS writes contrast agents apart: sub-01_ce-gadolinium_T1w.
    let agent = parts.iter().any(|part| part.starts_with("ce-"));
    let rest: Vec<&str> = parts.iter().copied().filter(|part| !entity(part)).collect();
    if is_bids && let Some(suffix) = parts.last().filter(|suffix| !suffix.contains('-')) {
        let found = of_words(&words(&[suffix]), agent, channels);
        if found.len() == 1 {
            return found;
        }
    }
    of_words(&words(&rest), agent, channels)
}

fn words<'a>(parts: &[&'a str]) -> Vec<&'a str> {
    parts.iter().flat_map(|part| part.split(|c: char| !c.is_alphanumeric())).filter(|w| !w.is_empty()).collect()
}

fn of_words(words: &[&str], agent: bool, channels: &[String]) -> Vec<String> {
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    for length in (1..=LONGEST.min(words.len())).rev() {
        for (start, run) in words.windows(length).enumerate() {
            let run = run.concat();
            let contrast = common(&run);
            let end = start + length;
            let known = is_known(contrast) || channels.iter().any(|c| c == contrast);
            if known && !found.iter().any(|&(a, b, _)| a < end && start < b) {
                found.push((start, end, contrast.to_owned()));
            }
        }
    }
    if found.is_empty() {
        let sequence = |word: &&str| SEQUENCES.iter().find(|(_, names)| names.contains(word));
        let named = words.iter().enumerate().filter_map(|(at, word)| Some((at, at + 1, sequence(word)?.0.to_owned())));
        found.extend(named);
    }
    let behind_t1 = |at: usize| found.iter().any(|(_, end, name)| *end == at && name == "t1");
    let agent = agent
        || words.iter().enumerate().any(|(at, word)| {
            let named = AGENTS.contains(word) || AGENTS_BEHIND.contains(word) && behind_t1(at);
            named && !at.checked_sub(1).is_some_and(|before| WITHOUT.contains(&words[before]))
        });
    let mut names: Vec<String> = found.into_iter().map(|(_, _, name)| name).collect();
    if agent {
        names.iter_mut().filter(|name| *name == "t1").for_each(|name| ENHANCED.clone_into(name));
        if names.is_empty() {
            names.push(ENHANCED.to_owned());
        }
    }
    // FLAIR is a T2-weighted sequence, and often says so.
    if names.iter().any(|name| name == "flair") {
        names.retain(|name| name != "t2");
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase()
}

fn common(word: &str) -> &str {
    CONTRASTS.iter().find(|same| same.contains(&word)).map_or(word, |same| same[0])
}

fn is_known(common: &str) -> bool {
    CONTRASTS.iter().any(|same| same[0] == common)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn order(files: &[&str], channels: &[&str]) -> Option<Vec<usize>> {
        by_name(files, &strings(channels))
    }

    #[test]
    fn names_as_data_sets_write_them() {
        let brats = ["FLAIR", "T1w", "T1gd", "T2w"];
        assert_eq!(order(&["t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz", "flair.nii.gz"], &brats), Some(vec![3, 0, 1, 2]));
        let glioma = |c: &str| format!("BraTS-GLI-00001-000-{c}.nii.gz");
        let files = ["t1c", "t1n", "t2f", "t2w"].map(glioma);
        assert_eq!(by_name(&files, &strings(&brats)), Some(vec![2, 1, 0, 3]));
        let bids = ["sub-01_ce-gadolinium_T1w.nii.gz", "sub-01_FLAIR.nii.gz", "sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz"];
        assert_eq!(order(&bids, &brats), Some(vec![1, 2, 0, 3]));
        assert_eq!(order(&["case_ADC.hdr", "case_T2.hdr"], &["T2", "ADC"]), Some(vec![1, 0]));
        let apart = ["x_T1.nii", "x_T1_Gd.nii", "x_T2.nii", "x_T2_FLAIR.nii"];
        assert_eq!(order(&apart, &["FLAIR", "T1w", "T1-Gd", "T2w"]), Some(vec![3, 0, 1, 2]));
        assert_eq!(order(&["s_channel_2.nii", "s_channel_1.nii"], &["channel_1", "channel_2"]), Some(vec![1, 0]));
    }

    #[test]
    fn names_as_scanners_and_bids_write_them() {
        let name = |file: &str| contrasts(file, &[]).join("+");
        for (file, contrast) in [
            ("sub-01_space-T1w_FLAIR.nii.gz", "flair"),
            ("sub-01_ses-2_acq-T1w_desc-preproc_T2w.nii.gz", "t2"),
            ("sub-01_space-T1w_desc-preproc_bold.nii.gz", ""),
            ("sub-01_ce-gadolinium_T1w.nii.gz", "t1gd"),
            ("sub-01_T1w_brain.nii.gz", "t1"),
            ("case7_space-T1w_flair.nii", "flair"),
            ("sub-01_T2starw.nii.gz", "t2star"),
            ("sub-01_inplaneT2.nii.gz", "t2"),
            ("t1_mprage_sag_p2_iso.nii.gz", "t1"),
            ("MPRAGE.nii", "t1"),
            ("mprage_km.nii", "t1gd"),
            ("t1_mprage_tra_gd.nii", "t1gd"),
            ("t1_km_tra.nii", "t1gd"),
            ("T1-KM.nii", "t1gd"),
            ("ax_bravo_gad.nii", "t1gd"),
            ("t1_ohne_km.nii", "t1"),
            ("t1_pre_gd.nii", "t1"),
            ("t1_native.nii", "t1"),
            ("t1_post.nii", "t1gd"),
            ("T1_CE.nii.gz", "t1gd"),
            ("3d_tfe_postgad.nii", "t1gd"),
            ("t1_enhanced.nii", "t1gd"),
            ("t1_axial_post_gad.nii", "t1gd"),
            ("3d_spgr.nii", "t1"),
            ("t2_tirm_tra_dark-fluid.nii", "flair"),
            ("dark_fluid.nii", "flair"),
            ("flair_gd.nii", "flair"),
            ("t2_tse_tra.nii", "t2"),
            ("t1_tse_sag.nii", "t1"),
            ("pd_tse.nii", "pd"),
            ("tse.nii", "t2"),
            ("hippocampus_057.nii.gz", ""),
        ] {
            assert_eq!(name(file), contrast, "{file}");
        }
        for (channel, common) in
            [("T1-Gd", "t1gd"), ("T1w post contrast", "t1gd"), ("CE-T1w", "t1gd"), ("T2 TSE", "t2"), ("CT", "ct")]
        {
            assert_eq!(common_name(channel), common, "{channel}");
        }
        let brats = ["FLAIR", "T1w", "T1gd", "T2w"];
        let files = ["t1_mprage_km.nii", "t1_mprage.nii", "t2_tirm_dark-fluid.nii", "t2_tse.nii"];
        assert_eq!(order(&files, &brats), Some(vec![2, 1, 0, 3]));
    }

    #[test]
    fn a_name_against_its_place_is_refused() {
        let refused = |files: &[&str], channels: &[&str]| {
            let ordered = super::order(files, &strings(channels));
            ordered.expect_err("a contradiction").to_string()
        };
        let text = refused(&["x_flair.nii", "scan_2.nii"], &["T1w", "FLAIR"]);
        assert!(text.contains("x_flair.nii is FLAIR by its name and would be taken as T1w"), "{text}");
        let text = refused(&["t1ce.nii.gz"], &["T1"]);
        assert!(text.contains("t1ce.nii.gz is t1gd by its name and would be taken as T1"), "{text}");
        refused(&["flair.nii", "flair_2.nii"], &["FLAIR", "T1w"]);
        refused(&["t1.nii", "t2_flair.nii"], &["T1", "T2"]);
        // Other words, and places that are no contrast, contradict nothing.
        for (files, channels) in
            [(&["a_t1.nii"][..], &["CT"][..]), (&["a.nii", "b.nii"], &["T1", "T2"]), (&["t1_flair.nii"], &["T2"])]
        {
            super::order(files, &strings(channels)).expect("no contradiction");
        }
    }

    #[test]
    fn doubt_is_no_order() {
        let channels = ["FLAIR", "T1w"];
        assert_eq!(order(&["a.nii", "b.nii"], &channels), None, "no channel is named");
        assert_eq!(order(&["flair.nii", "flair_2.nii"], &channels), None, "one channel twice");
        assert_eq!(order(&["flair_t1.nii", "t1.nii"], &channels), None, "two channels in one name");
        assert_eq!(order(&["flair.nii"], &channels), None, "one file is missing");
        assert_eq!(order(&["flair.nii", "mt1.nii"], &channels), None, "only whole words count");
        assert_eq!(order(&["t1.nii", "t2_flair.nii"], &["T1", "T2"]), None, "a contrast that the model does not know");
    }

    #[test]
    fn voxels_and_files_move_together() {
        let data = [[1.0; 8], [2.0; 8]].concat();
        let mut volume = Volume::new(data, 2, [2, 2, 2], Affine::IDENTITY).unwrap();
        let mut files = strings(&["x_t2.nii", "x_t1.nii"]);
        let told = arrange(&mut volume, &mut files, |f| f, &strings(&["T1", "T2"])).unwrap().unwrap();
        assert!(told.contains("T1 = x_t1.nii, T2 = x_t2.nii"), "{told}");
        assert_eq!((volume.channel(0)[0], volume.channel(1)[7]), (2.0, 1.0));
        assert_eq!(files, ["x_t1.nii", "x_t2.nii"]);
        let told = arrange(&mut volume, &mut files, |f| f, &strings(&["T1", "T2"])).unwrap();
        assert_eq!(told, None, "in order: nothing to tell");
        files = strings(&["x_1.nii", "x_2.nii"]);
        let told = arrange(&mut volume, &mut files, |f| f, &strings(&["DWI", "ADC"])).unwrap().unwrap();
        assert!(told.contains("in the order given: DWI = x_1.nii"), "{told}");
    }
}
