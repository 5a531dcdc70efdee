//! Which of several files is which channel, by their names.
//!
//! A study of four MR contrasts is four files, and a shell or a drop gives them in the order of the alphabet, which is
//! hardly ever the model's. Nothing in the numbers tells: the result is wrong without a word.

use super::Volume;

/// Other names of one contrast, as BraTS, BIDS and others write them; the first stands for all.
const SAME: [&[&str]; 6] = [
    &["t1", "t1w", "t1n", "t1weighted"],
    &["t1gd", "t1ce", "t1c", "t1gad", "t1post", "t1contrast", "t1wce", "t1wgd", "ce-t1", "ce-t1w"],
    &["t2", "t2w", "t2weighted"],
    &["flair", "t2f", "t2flair", "t2wflair"],
    &["dwi", "trace"],
    &["pd", "pdw"],
];

/// Words of a file name that can make up one channel's name.
const LONGEST: usize = 4;

/// One spelling for the names of one contrast: `T1-Gd`, `t1ce` and `T1c` are the same.
#[must_use]
pub fn common_name(name: &str) -> String {
    common(&letters(name)).to_owned()
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
#[must_use]
pub fn order<S: AsRef<str>>(files: &[S], channels: &[String]) -> (Vec<usize>, Option<String>) {
    let given: Vec<usize> = (0..files.len()).collect();
    let list = |order: &[usize]| {
        let pair = |(channel, &at): (&String, &usize)| format!("{channel} = {}", files[at].as_ref());
        channels.iter().zip(order).map(pair).collect::<Vec<_>>().join(", ")
    };
    match by_name(files, channels) {
        Some(order) if order == given => (order, None),
        Some(order) => {
            let told = format!("the files were put into the model's order by their names: {}", list(&order));
            (order, Some(told))
        }
        None => {
            let why = "the file names do not tell the channels, so they are taken in the order given";
            let told = format!("{why}: {}", list(&given));
            (given, Some(told))
        }
    }
}

/// Puts the channels of a study of one file each into the order of `channels`, and `files` with them. Gives what the user
/// is to be told: which file is which channel, where that was not plain.
pub fn arrange<T>(
    volume: &mut Volume,
    files: &mut Vec<T>,
    name: impl Fn(&T) -> &str,
    channels: &[String],
) -> Option<String> {
    let n = channels.len();
    if n < 2 || files.len() != n || volume.channels != n {
        return None;
    }
    let (order, told) = order(&files.iter().map(&name).collect::<Vec<_>>(), channels);
    if order.is_sorted() {
        return told;
    }
    let size = volume.voxels();
    let mut data = Vec::with_capacity(volume.data.len());
    for &at in &order {
        data.extend_from_slice(&volume.data[at * size..(at + 1) * size]);
    }
    volume.data = data;
    let mut old: Vec<Option<T>> = files.drain(..).map(Some).collect();
    files.extend(order.iter().filter_map(|&at| old[at].take()));
    told
}

/// The contrasts that a file name holds, each by its common name: those of `channels`, and the known ones, which may
/// hide a shorter one.
fn contrasts(file: &str, channels: &[String]) -> Vec<String> {
    let mut stem = file.to_ascii_lowercase();
    for ending in [".gz", ".nii", ".hdr", ".img", ".dcm"] {
        stem = stem.strip_suffix(ending).unwrap_or(&stem).to_owned();
    }
    // BIDS writes contrast agents apart: sub-01_ce-gadolinium_T1w.
    let agent = stem.split('_').any(|entity| entity.starts_with("ce-"));
    let words: Vec<&str> = stem.split(|c: char| !c.is_alphanumeric()).collect();
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    for length in (1..=LONGEST.min(words.len())).rev() {
        for (start, run) in words.windows(length).enumerate() {
            let run = run.concat();
            let mut contrast = common(&run);
            if agent {
                let with = format!("ce-{contrast}");
                contrast = SAME.iter().find(|same| same.contains(&&*with)).map_or(contrast, |same| same[0]);
            }
            let known = channels.iter().any(|c| c == contrast) || SAME.iter().any(|same| same[0] == contrast);
            let end = start + length;
            if known && !found.iter().any(|&(a, b, _)| a <= start && end <= b) {
                found.push((start, end, contrast.to_owned()));
            }
        }
    }
    found.into_iter().map(|(_, _, contrast)| contrast).collect()
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_ascii_lowercase()
}

fn common(word: &str) -> &str {
    SAME.iter().find(|same| same.contains(&word)).map_or(word, |same| same[0])
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
        let told = arrange(&mut volume, &mut files, |f| f, &strings(&["T1", "T2"])).unwrap();
        assert!(told.contains("T1 = x_t1.nii, T2 = x_t2.nii"), "{told}");
        assert_eq!((volume.channel(0)[0], volume.channel(1)[7]), (2.0, 1.0));
        assert_eq!(files, ["x_t1.nii", "x_t2.nii"]);
        assert_eq!(arrange(&mut volume, &mut files, |f| f, &strings(&["T1", "T2"])), None, "in order: nothing to tell");
        let told = arrange(&mut volume, &mut files, |f| f, &strings(&["DWI", "ADC"])).unwrap();
        assert!(told.contains("in the order given: DWI = x_t1.nii"), "{told}");
    }
}
