//! Which known key was meant.

use strsim::{damerau_levenshtein, jaro_winkler};

/// The known key that is most like `key`, by the similarity of Jaro and Winkler; case and punctuation do not count.
pub fn nearest<'k>(key: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let key = plain(key);
    let likeness = |other: &str| jaro_winkler(&key, &plain(other));
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// Whether `key` is a misspelling of `known` rather than a word of its own: at most two letters added, left out,
/// replaced or swapped, and one where the word is short.
pub fn is_slip(key: &str, known: &str) -> bool {
    let (key, known) = (plain(key), plain(known));
    let most = if known.len() > 5 { 2 } else { 1 };
    key.len().abs_diff(known.len()) <= most && damerau_levenshtein(&key, &known) <= most
}

fn plain(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).take(64).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_find_what_was_meant() {
        let known = ["kind", "nonzero", "channel_wise", "subtrahend", "divisor"];
        for (key, meant) in [
            ("non_zero", "nonzero"),
            ("channelwise", "channel_wise"),
            ("Channel-Wise", "channel_wise"),
            ("subtrahent", "subtrahend"),
            ("divisior", "divisor"),
        ] {
            assert_eq!(nearest(key, known), Some(meant), "{key}");
            assert!(is_slip(key, meant), "{key}");
        }
        for (key, known) in [("license", "licence"), ("inputs", "input"), ("netwrok", "network"), ("lable", "label")] {
            assert!(is_slip(key, known), "{key}");
        }
        for (key, known) in [("site", "licence"), ("notes", "name"), ("version_notes", "version"), ("test", "format")] {
            assert!(!is_slip(key, known), "{key}");
        }
        assert_eq!(nearest("anything", []), None);
    }
}
