//! Columns of text for people.

use super::console::printable;

/// Rows under a header; the first column is to the left, the others to the right.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&h| h.to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| printable(&c)).collect());
    }

    /// The text, with a line end after each row.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(c));
            cells.map(|s| s.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                // Widths of format strings end at 65,535, names in files do not.
                let space = " ".repeat(width - cell.chars().count());
                let (before, after) = if c == 0 { ("", space.as_str()) } else { (space.as_str(), "") };
                let gap = if c == 0 { "" } else { "  " };
                line.extend([gap, before, cell, after]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_only_long() {
        let mut table = Table::new(&["label", "ml"]);
        table.row(["x".repeat(70_000), "1".to_owned()]);
        assert_eq!(table.render().lines().map(str::len).collect::<Vec<_>>(), [70_004, 70_004]);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["label", "ml"]);
        table.row(["spleen".to_owned(), "1.5".to_owned()]);
        table.row(["é\u{7}".to_owned(), "100.0".to_owned()]);
        assert_eq!(table.render(), "label      ml\nspleen    1.5\né\u{fffd}      100.0\n");
    }
}
