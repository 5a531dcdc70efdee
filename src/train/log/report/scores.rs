//! Tables of the best validation: its classes, and its cases from the worst on.

use super::html::{count, decimals, name, table};
use crate::metrics::nan_mean;
use crate::train::log::records::{CaseRecord, ValidationRecord};

/// Cases shown at once; those after them are folded away.
const OPEN: usize = 12;
/// Cases shown at all; `metrics.jsonl` has the others.
const MOST: usize = 200;
/// More classes than this, and their HD95 is given as one mean.
const WIDE: usize = 4;

/// Both tables.
pub(super) fn scores(best: &ValidationRecord) -> String {
    format!("{}{}", classes(best), cases(best))
}

/// A Dice with a bar behind it.
fn dice(value: f64) -> String {
    let part = if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
    format!("<span class=\"bar\" style=\"--part:{part:.3}\">{}</span>", decimals(value, 3))
}

fn scroll(label: &str, table: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{label}\">{table}</div>\n")
}

fn heads(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn classes(best: &ValidationRecord) -> String {
    let measured = best.classes.iter().any(|c| c.hd95.is_some());
    let mut head = heads(&["class", "Dice, mean", "SD", "median", "cases"]);
    if measured {
        head.extend(heads(&["HD95, mean (mm)", "SD", "median", "cases"]));
    }
    let row = |label: String, dice_mean: f64, rest: Vec<String>| [vec![label, dice(dice_mean)], rest].concat();
    let mut rows: Vec<Vec<String>> = best
        .classes
        .iter()
        .map(|c| {
            let d = &c.dice;
            let mut rest = vec![decimals(d.std, 3), decimals(d.median, 3), count(d.cases)];
            if measured {
                let h = c.hd95.unwrap_or_default();
                rest.extend([h.mean, h.std, h.median].map(|v| decimals(v, 2)));
                rest.push(count(h.cases));
            }
            row(name(&c.name), d.mean, rest)
        })
        .collect();
    if best.classes.len() > 1 {
        let mut rest = vec![String::new(); 3];
        if measured {
            let (mean, _) = nan_mean(&best.classes.iter().filter_map(|c| c.hd95).map(|h| h.mean).collect::<Vec<_>>());
            rest.extend([decimals(mean, 2), String::new(), String::new(), String::new()]);
        }
        rows.push(row("mean of the classes".into(), best.mean_dice, rest));
    }
    scroll("Scores per class", &table("Per class", &head, &rows))
}

fn cases(best: &ValidationRecord) -> String {
    if best.cases.is_empty() {
        return String::new();
    }
    let measured = best.cases.iter().any(|c| !c.hd95.is_empty());
    let each = best.classes.len() > 1;
    let narrow = best.classes.len() <= WIDE;
    let mut head = heads(&["case", "Dice, mean"]);
    if each {
        let what = if narrow { ", Dice" } else { "" };
        head.extend(best.classes.iter().map(|c| format!("{}{what}", name(&c.name))));
    }
    match (measured, each && narrow) {
        (true, true) => head.extend(best.classes.iter().map(|c| format!("{}, HD95 (mm)", name(&c.name)))),
        (true, false) => head.push("HD95, mean (mm)".into()),
        (false, _) => {}
    }
    let order = best.ranking();
    let row = |case: &CaseRecord| {
        let value = |values: &[f64], k: usize| values.get(k).copied().unwrap_or(f64::NAN);
        let classes = 0..best.classes.len();
        let mut cells = vec![name(&case.case), dice(case.mean_dice())];
        if each {
            cells.extend(classes.clone().map(|k| decimals(value(&case.dice, k), 3)));
        }
        match (measured, each && narrow) {
            (true, true) => cells.extend(classes.map(|k| decimals(value(&case.hd95, k), 2))),
            (true, false) => cells.push(decimals(nan_mean(&case.hd95).0, 2)),
            (false, _) => {}
        }
        cells
    };
    let rows: Vec<Vec<String>> = order.iter().take(MOST).filter_map(|&i| best.cases.get(i)).map(row).collect();
    let caption = match narrow {
        true => "Per case, the worst first",
        false => "Per case, the worst first: Dice per class",
    };
    let (open, folded) = rows.split_at(rows.len().min(OPEN));
    let mut out = scroll("Scores per case", &table(caption, &head, open));
    if !folded.is_empty() {
        let more = count((rows.len() - open.len()) as u64);
        let inner = scroll("Scores of further cases", &table("Further cases", &head, folded));
        out += &format!("<details><summary>{more} further cases</summary>{inner}</details>\n");
    }
    if order.len() > rows.len() {
        let left = count((order.len() - rows.len()) as u64);
        out += &format!("<p class=\"quiet\">The {left} best cases are left out; metrics.jsonl has them.</p>\n");
    }
    out + "<p class=\"quiet\">– stands where there is no value: Dice where the truth is empty, HD95 where truth or \
           prediction is. Means leave these out, so mind the number of cases.</p>\n"
}
