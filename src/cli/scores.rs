//! Figures of an evaluation as table, CSV and JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::regions::Region;
use super::table::Table;
use crate::metrics::{ClassMetrics, Presence, nan_mean};
use crate::report::statistics::csv_row;

/// What the special values mean, said under every table.
pub(super) const RULES: &str = "\
Values are MONAI's: Dice is NaN where the truth is empty, HD95 where either mask is empty; ASSD is infinite where one is
and NaN where both are. NaN is left out of means, so a missed structure lowers Dice but not HD95: mind the counts.";

/// One class of one case.
pub(super) struct Score {
    pub case: String,
    pub label: String,
    pub metrics: ClassMetrics,
}

/// Every class of every case.
#[derive(Default)]
pub(super) struct Scores {
    pub rows: Vec<Score>,
    /// What the truth's values became before they were compared.
    pub relabel: BTreeMap<u16, u16>,
    /// Axis codes and voxel sizes in which the network saw each case.
    pub grids: Vec<(String, [f64; 3])>,
    /// What else is to be known of the figures.
    pub notes: Vec<String>,
    /// What is judged instead of single labels, if anything is.
    pub regions: Vec<Region>,
}

/// Mean over the cases of one class.
struct Summary {
    label: String,
    class: u32,
    cases: usize,
    dice: (f64, usize),
    hd95: (f64, usize),
    assd: (f64, usize),
    missed: usize,
    false_alarms: usize,
}

fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Both => "both",
        Presence::Missed => "missed",
        Presence::FalseAlarm => "false alarm",
        Presence::Neither => "neither",
    }
}

impl Scores {
    fn summaries(&self) -> Vec<Summary> {
        let mut classes: Vec<(u32, &str)> = self.rows.iter().map(|r| (r.metrics.class, r.label.as_str())).collect();
        classes.sort_unstable();
        classes.dedup_by_key(|c| c.0);
        classes
            .into_iter()
            .map(|(class, label)| {
                let rows: Vec<&ClassMetrics> =
                    self.rows.iter().map(|r| &r.metrics).filter(|m| m.class == class).collect();
                let mean =
                    |value: fn(&ClassMetrics) -> f64| nan_mean(&rows.iter().map(|m| value(m)).collect::<Vec<_>>());
                let count = |p: Presence| rows.iter().filter(|m| m.presence == p).count();
                Summary {
                    label: label.to_owned(),
                    class,
                    cases: rows.len(),
                    dice: mean(|m| m.dice),
                    hd95: mean(|m| m.hd95),
                    assd: mean(|m| m.assd),
                    missed: count(Presence::Missed),
                    false_alarms: count(Presence::FalseAlarm),
                }
            })
            .collect()
    }

    pub fn text(&self) -> String {
        let mut table =
            Table::new(&["case", "label", "Dice", "HD95 mm", "ASSD mm", "prediction ml", "truth ml", "present in"]);
        for r in &self.rows {
            let m = &r.metrics;
            let ml = [m.prediction_ml, m.truth_ml].map(|v| format!("{v:.3}"));
            let [prediction, truth] = ml;
            table.row([
                r.case.clone(),
                r.label.clone(),
                format!("{:.4}", m.dice),
                format!("{:.3}", m.hd95),
                format!("{:.3}", m.assd),
                prediction,
                truth,
                presence(m.presence).to_owned(),
            ]);
        }
        let mut means = Table::new(&[
            "mean",
            "cases",
            "Dice",
            "left out",
            "HD95 mm",
            "left out",
            "ASSD mm",
            "left out",
            "missed",
            "false alarms",
        ]);
        let all = self.summaries();
        for s in &all {
            means.row([
                s.label.clone(),
                s.cases.to_string(),
                format!("{:.4}", s.dice.0),
                s.dice.1.to_string(),
                format!("{:.3}", s.hd95.0),
                s.hd95.1.to_string(),
                format!("{:.3}", s.assd.0),
                s.assd.1.to_string(),
                s.missed.to_string(),
                s.false_alarms.to_string(),
            ]);
        }
        format!("{}\n{}\n{RULES}\n", table.render(), means.render())
    }

    pub fn csv(&self) -> String {
        let mut csv =
            String::from("case,label,label_value,dice,hd95_mm,assd_mm,hd_mm,prediction_ml,truth_ml,presence\n");
        for r in &self.rows {
            let m = &r.metrics;
            let numbers = [m.dice, m.hd95, m.assd, m.hd, m.prediction_ml, m.truth_ml].map(|v| v.to_string());
            let mut fields = vec![r.case.clone(), r.label.clone(), m.class.to_string()];
            fields.extend(numbers);
            fields.push(presence(m.presence).to_owned());
            csv.push_str(&csv_row(&fields));
        }
        csv
    }

    /// NaN and infinities are null; `presence` says which it was.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|r| {
                let m = &r.metrics;
                json!({
                    "case": r.case, "label": r.label, "label_value": m.class, "dice": m.dice, "hd95_mm": m.hd95,
                    "assd_mm": m.assd, "hd_mm": m.hd, "prediction_ml": m.prediction_ml, "truth_ml": m.truth_ml,
                    "presence": presence(m.presence),
                })
            })
            .collect();
        let mean = |(value, excluded): (f64, usize)| json!({"mean": value, "excluded": excluded});
        let classes: Vec<Value> = self
            .summaries()
            .into_iter()
            .map(|s| {
                json!({
                    "label": s.label, "label_value": s.class, "cases": s.cases, "dice": mean(s.dice),
                    "hd95_mm": mean(s.hd95), "assd_mm": mean(s.assd), "missed": s.missed, "false_alarms": s.false_alarms,
                })
            })
            .collect();
        let regions: Value = self.regions.iter().map(|r| json!({"name": r.name, "values": r.values})).collect();
        json!({"cases": rows, "classes": classes, "relabel": self.relabel, "regions": regions, "notes": self.notes,
            "rules": RULES.replace('\n', " ")})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_masks_are_counted_not_hidden() {
        let metrics = |presence, dice, hd95, assd| ClassMetrics {
            class: 1,
            presence,
            dice,
            hd: assd,
            hd95,
            assd,
            prediction_ml: 1.0,
            truth_ml: 2.0,
        };
        let rows = [
            metrics(Presence::Both, 0.8, 3.0, 1.0),
            metrics(Presence::Missed, 0.0, f64::NAN, f64::INFINITY),
            metrics(Presence::FalseAlarm, f64::NAN, f64::NAN, f64::INFINITY),
        ];
        let score = |(i, metrics)| Score { case: format!("case {i}"), label: "spleen".into(), metrics };
        let scores = Scores { rows: rows.into_iter().enumerate().map(score).collect(), ..Scores::default() };
        let class = &scores.json()["classes"][0];
        assert_eq!((&class["dice"]["mean"], &class["dice"]["excluded"]), (&json!(0.4), &json!(1)));
        assert_eq!((&class["hd95_mm"]["mean"], &class["hd95_mm"]["excluded"]), (&json!(3.0), &json!(2)));
        assert_eq!((&class["missed"], &class["false_alarms"]), (&json!(1), &json!(1)));
        assert!(scores.json()["cases"][1]["assd_mm"].is_null());
        assert!(scores.csv().contains("case 1,spleen,1,0,NaN,inf,inf,1,2,missed\n"), "{}", scores.csv());
        assert!(scores.text().contains("false alarm"), "{}", scores.text());
    }
}
