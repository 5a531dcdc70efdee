//! The page: what was trained, how it went, how good it is.

use std::path::Path;

use serde_json::Value;

use super::curves::charts;
use super::html::{count, decimals, duration, escape, moment, name, short, table};
use super::pictures::pictures;
use super::scores::scores;
use crate::report::NOTICE;
use crate::train::log::history::History;
use crate::train::log::records::{Outcome, Start};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("readout.js");
/// Nothing may be loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The whole page. `recipe` is the text of the recipe.
pub(super) fn page(run: &Path, history: &History, recipe: Option<&str>) -> String {
    let nothing = Start::default();
    let start = history.start.as_ref().unwrap_or(&nothing);
    let title = if start.name.is_empty() { "Training run" } else { &start.name };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{} – training report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escape(title)
    );
    out += &header(title, start, history);
    out += "<main>\n";
    out += &tiles(start, history);
    let charts = charts(history);
    if charts.is_empty() {
        out += "<p class=\"quiet\">Nothing is recorded yet.</p>\n";
    } else {
        out += "<section aria-labelledby=\"curves\"><h2 id=\"curves\">Curves</h2>\n<div class=\"charts\">\n";
        out += &charts;
        out += "</div>\n<p class=\"quiet\">Along the charts: optimiser steps. Long curves keep the least and the greatest value of \
                each stretch.</p></section>\n";
    }
    if let Some(best) = history.best() {
        let of = match history.validations.len() {
            1 => "the only validation so far".to_owned(),
            n => format!("the highest mean Dice of {} validations", count(n as u64)),
        };
        out += &format!(
            "<section aria-labelledby=\"scores\"><h2 id=\"scores\">Best validation</h2>\n<p class=\"quiet\">After step {}, \
             {of}.</p>\n{}</section>\n",
            count(best.step),
            scores(best)
        );
    }
    out += &pictures(run, history);
    out += &settings(start, recipe);
    out += &notes(history);
    out + &format!(
        "</main>\n<footer><p><strong>{NOTICE}</strong></p></footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn header(title: &str, start: &Start, history: &History) -> String {
    let (kind, text) = match history.stop.as_ref().map(|s| s.outcome) {
        Some(Outcome::Finished) => ("good", "finished"),
        Some(Outcome::Interrupted) => ("warn", "interrupted"),
        Some(Outcome::Failed) => ("bad", "failed"),
        None => ("running", "no end recorded"),
    };
    let mut about = Vec::new();
    if !start.data.is_empty() {
        about.push(name(&start.data));
    }
    if start.training_cases + start.validation_cases > 0 {
        let [training, validation] = [start.training_cases, start.validation_cases].map(count);
        about.push(format!("{training} training and {validation} validation cases"));
    }
    if let Some([first, last]) = &history.times {
        about.push(format!("{} to {}", escape(&moment(first)), escape(&moment(last))));
    }
    let reason = history.stop.as_ref().filter(|s| s.outcome == Outcome::Failed && !s.reason.is_empty());
    let reason =
        reason.map(|s| format!("<p class=\"bad\" role=\"alert\">{}</p>", escape(&s.reason))).unwrap_or_default();
    format!(
        "<header>\n<div class=\"title\"><h1>{}</h1><span class=\"badge {kind}\">{text}</span></div>\n<p>{}</p>{reason}\n\
         <p class=\"notice\">{NOTICE}</p>\n</header>\n",
        name(title),
        about.join(" · ")
    )
}

/// The figures asked for first.
fn tiles(start: &Start, history: &History) -> String {
    let mut tiles: Vec<(&str, String, String)> = Vec::new();
    if let Some(best) = history.best() {
        let at = format!("after step {}", count(best.step));
        tiles.push(("Best mean Dice", decimals(best.mean_dice, 4), at));
    }
    let step = history.last_step();
    let of = if start.steps > 0 { format!("of {}", count(start.steps)) } else { String::new() };
    tiles.push(("Steps", count(step), of));
    if let Some(last) = &history.last {
        tiles.push(("Time", duration(last.seconds), "training, without pauses".into()));
        let mut speeds: Vec<f64> = history.steps.iter().map(|p| p.cases_per_second).filter(|v| v.is_finite()).collect();
        speeds.sort_by(f64::total_cmp);
        if let Some(middle) = speeds.get(speeds.len() / 2) {
            tiles.push(("Speed", short(*middle), "cases per second, median".into()));
        }
        tiles.push(("Latest loss", short(last.loss), format!("at step {}", count(last.step))));
    }
    let cells = tiles
        .iter()
        .map(|(label, value, more)| format!("<div><dt>{label}</dt><dd>{value} <small>{more}</small></dd></div>\n"));
    format!("<dl class=\"tiles\">\n{}</dl>\n", cells.collect::<String>())
}

fn settings(start: &Start, recipe: Option<&str>) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |label: &str, value: String| {
        if !value.is_empty() {
            rows.push((escape(label), value));
        }
    };
    row("adapter", escape(&start.adapter));
    row("unetr-wgpu", escape(&start.version));
    row("parameters", if start.parameters > 0 { count(start.parameters) } else { String::new() });
    row("seed", start.seed.to_string());
    row("recipe, SHA-256", escape(&start.recipe_sha256));
    for (label, value) in &start.settings {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        row(label, escape(&text));
    }
    let list = rows.iter().map(|(label, value)| format!("<div><dt>{label}</dt><dd>{value}</dd></div>\n"));
    let recipe = recipe.map(|text| {
        format!("<details><summary>recipe.toml</summary><pre tabindex=\"0\">{}</pre></details>\n", escape(text))
    });
    format!(
        "<section aria-labelledby=\"settings\"><h2 id=\"settings\">Settings</h2>\n<dl class=\"facts\">\n{}</dl>\n{}</section>\n",
        list.collect::<String>(),
        recipe.unwrap_or_default()
    )
}

fn notes(history: &History) -> String {
    if history.notes.is_empty() {
        return String::new();
    }
    let head = ["step", "event", "what", "time"].map(str::to_owned);
    let rows: Vec<Vec<String>> = history
        .notes
        .iter()
        .map(|n| {
            let kind = format!("<span class=\"kind {}\">{}</span>", n.kind, n.kind);
            vec![
                count(n.step),
                kind,
                format!("<span class=\"text\">{}</span>", name_long(&n.text)),
                escape(&moment(&n.time)),
            ]
        })
        .collect();
    let dropped = match history.notes_dropped {
        0 => String::new(),
        n => format!("<p class=\"quiet\">{} in the middle are left out.</p>\n", count(n as u64)),
    };
    format!(
        "<section aria-labelledby=\"events\"><h2 id=\"events\">Events</h2>\n<div class=\"scroll events\" role=\"region\" tabindex=\"0\" \
         aria-label=\"Events\">{}</div>\n{dropped}</section>\n",
        table("Warnings, and sessions", &head, &rows)
    )
}

/// A sentence: escaped, and cut only if it is a novel.
fn name_long(text: &str) -> String {
    let cut = text.char_indices().nth(1000).map_or(text.len(), |(at, _)| at);
    format!("<bdi>{}</bdi>", escape(&text[..cut]))
}
