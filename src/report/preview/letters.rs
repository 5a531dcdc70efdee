//! Text in any script: Latin in the picture's own fonts, everything else as GNU Unifont draws it.
//!
//! A line is put into the order in which it is seen (Unicode's bidirectional algorithm), Arabic letters are joined, marks
//! stand over the letter before them. What has no glyph is spelt by its code point, `[U+1F9E0]`: nothing is left out.

use std::iter;

use ar_reshaper::ArabicReshaper;
use ar_reshaper::config::ReshaperConfig;
use unicode_bidi::BidiInfo;
use unicode_width::UnicodeWidthChar;
use unifont::{Glyph, get_glyph};

/// Rows of a glyph.
pub(super) const HEIGHT: i32 = 16;

/// Whether the picture's own fonts have every letter.
pub(super) fn is_latin(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && c <= '\u{ff}')
}

/// Text that stays in its line.
pub(super) fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The glyphs of a line with their places from its left end, and its width.
pub(super) fn glyphs(text: &str) -> (Vec<(i32, &'static Glyph)>, i32) {
    let (mut placed, mut left, mut last) = (Vec::new(), 0, 0);
    for c in in_order(text) {
        // A mark goes over the letter before it, which is drawn already.
        let is_mark = c.width() == Some(0) && left > 0;
        if is_invisible(c) {
            continue;
        }
        match get_glyph(c) {
            Some(glyph) if is_mark => placed.push((last, glyph)),
            Some(glyph) => {
                placed.push((left, glyph));
                last = left;
                left += glyph.get_width() as i32;
            }
            None => {
                for glyph in format!("[U+{:04X}]", u32::from(c)).chars().filter_map(get_glyph) {
                    placed.push((left, glyph));
                    left += glyph.get_width() as i32;
                }
                last = left;
            }
        }
    }
    (placed, left)
}

/// Characters that only say how others are laid out.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The characters of a line from left to right, Arabic ones in their joined forms.
fn in_order(text: &str) -> Vec<char> {
    let text = on_one_line(text);
    let is_arabic = |c: char| matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}');
    let text = match text.chars().any(is_arabic) {
        true => {
            let config = ReshaperConfig { delete_harakat: false, ..ReshaperConfig::default() };
            ArabicReshaper::new(config).reshape(&text)
        }
        false => text,
    };
    let bidi = BidiInfo::new(&text, None);
    bidi.paragraphs.iter().flat_map(|p| bidi.reorder_line(p, p.range.clone()).chars().collect::<Vec<_>>()).collect()
}

/// As much of the text as is at most `width` wide, by `measure`; what is cut ends in two dots.
pub(super) fn fit(text: &str, width: i32, measure: impl Fn(&str) -> i32) -> String {
    if measure(text) <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().map(|(end, _)| end).chain(iter::once(text.len()));
    let cut = |end: usize| format!("{}..", text[..end].trim_end());
    let ends: Vec<usize> = ends.collect();
    let most = ends.partition_point(|&end| measure(&cut(end)) <= width);
    most.checked_sub(1).map_or_else(String::new, |at| cut(ends[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_letters_and_none_is_dropped() {
        for text in ["肝臓", "печень", "ήπαρ", "כבד", "كبد", "यकृत", "ตับ", "간", "lē", "ải"]
        {
            let (placed, width) = glyphs(text);
            assert!(placed.len() >= text.chars().count() - 1 && width > 0, "{text}");
            // No glyph is that of the replacement character or of '?'.
            for (_, glyph) in placed {
                assert!(Some(glyph) != get_glyph('?') && Some(glyph) != get_glyph('\u{fffd}'), "{text}");
            }
        }
        let spelt = |text: &str| glyphs(text).0.len();
        assert_eq!(spelt("\u{1f9e0}"), "[U+1F9E0]".len());
        assert_eq!(glyphs("").1, 0);
    }

    #[test]
    fn lines_run_as_they_are_read() {
        let order: String = in_order("כבד 1").into_iter().collect();
        assert_eq!(order, "1 דבכ");
        // Joined forms: kaf at the start, beh in the middle, dal at the end, seen from the left.
        let order: Vec<char> = in_order("كبد");
        assert_eq!(order, ['\u{feaa}', '\u{fe92}', '\u{fedb}']);
        // A mark adds no width.
        assert_eq!(glyphs("e\u{301}").1, glyphs("e").1);
    }

    #[test]
    fn what_is_cut_says_so() {
        let measure = |text: &str| 9 * text.chars().count() as i32;
        assert_eq!(fit("hippocampus", 99, measure), "hippocampus");
        assert_eq!(fit("hippocampus", 60, measure), "hipp..");
        assert_eq!(fit("hippocampus", 10, measure), "");
        let (all, cut) = ("肝臓肝臓肝臓", fit("肝臓肝臓肝臓", 60, |t| glyphs(t).1));
        assert!(glyphs(&cut).1 <= 60 && cut.starts_with('肝') && cut.len() < all.len(), "{cut}");
    }
}
