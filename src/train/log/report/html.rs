//! Pieces of HTML, and numbers as people read them.

use std::fmt::Write;

/// Text that cannot be taken for markup, in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // HTML forbids these even as references.
            '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A name that others chose: escaped, cut to a length, and unable to turn the direction of the text around it.
pub(super) fn name(text: &str) -> String {
    const MOST: usize = 120;
    let cut = text.char_indices().nth(MOST).map_or(text.len(), |(at, _)| at);
    let more = if cut < text.len() { "…" } else { "" };
    format!("<bdi>{}{more}</bdi>", escape(&text[..cut]))
}

/// `12,345`
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// So many decimals; a dash for NaN, a sign for infinity.
pub(super) fn decimals(value: f64, digits: usize) -> String {
    match value {
        v if v.is_nan() => "–".to_owned(),
        f64::INFINITY => "∞".to_owned(),
        f64::NEG_INFINITY => "−∞".to_owned(),
        v if v.abs() >= 1e7 => format!("{v:.2e}"),
        v => format!("{v:.digits$}").replace('-', "−"),
    }
}

/// About three significant digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() || v >= 99.95 || v == 0.0 => decimals(value, 0),
        v if v >= 9.995 => decimals(value, 1),
        v if v >= 0.9995 => decimals(value, 2),
        v if v >= 0.000_995 => decimals(value, 4),
        _ => format!("{value:.2e}").replace('-', "−"),
    }
}

/// `2 h 05 min`
pub(super) fn duration(seconds: f64) -> String {
    if !(seconds.is_finite() && seconds >= 0.0) {
        return "–".to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {:02} h", s / 86_400, s / 3600 % 24),
    }
}

/// `2026-11-23 19:44 UTC` of a moment as RFC 3339; other texts as they are.
pub(super) fn moment(time: &str) -> String {
    match time.split_once('T') {
        Some((date, clock)) if time.len() == 20 && time.is_ascii() => {
            format!("{date} {} UTC", &clock[..5.min(clock.len())])
        }
        _ => time.to_owned(),
    }
}

/// Bytes as base64 (RFC 4648, section 4).
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |g, &b| g << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A table with headings of columns and rows; the first cell of a row is its heading. Cells are markup.
pub(super) fn table(caption: &str, head: &[String], rows: &[Vec<String>]) -> String {
    let mut out = format!("<table><caption>{caption}</caption><thead><tr>");
    for cell in head {
        let _ = write!(out, "<th scope=\"col\">{cell}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.iter().enumerate() {
            let _ = match i {
                0 => write!(out, "<th scope=\"row\">{cell}</th>"),
                _ => write!(out, "<td>{cell}</td>"),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        let bad = "<script>alert('1')</script>\" onload=\"x & \u{0}\u{1b}";
        let good = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x &amp; \u{fffd}\u{fffd}";
        assert_eq!(escape(bad), good);
        assert_eq!(name(&"ä".repeat(121)), format!("<bdi>{}…</bdi>", "ä".repeat(120)));
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 59.4, 61.0, 7500.0, 200_000.0].map(duration),
            ["0 s", "59 s", "1 min 01 s", "2 h 05 min", "2 d 07 h"]
        );
        assert_eq!(duration(f64::NAN), "–");
        assert_eq!(
            [0.0, 123.4, 12.34, 1.234, 0.1234, 1e-4].map(short),
            ["0", "123", "12.3", "1.23", "0.1234", "1.00e−4"]
        );
        assert_eq!([f64::NAN, f64::INFINITY, -0.5, 1e300].map(|v| decimals(v, 2)), ["–", "∞", "−0.50", "1.00e300"]);
        assert_eq!(moment("2026-11-23T19:44:35Z"), "2026-11-23 19:44 UTC");
        assert_eq!([moment("T"), moment("ä")], ["T", "ä"]);
    }

    #[test]
    fn base64_is_the_standards() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let coded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|t| base64(t.as_bytes())), coded);
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
