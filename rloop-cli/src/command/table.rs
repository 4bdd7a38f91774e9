//! Columns and lines for people.

/// Columns of the narrowest screen.
pub(super) const COLUMNS: usize = 80;

/// A table: text to the left, numbers to the right, as wide as need be.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// With these columns; a name that begins with `>` has numbers below it.
    pub(super) fn new(columns: &[&str]) -> Self {
        let names = columns
            .iter()
            .map(|name| name.trim_start_matches('>').to_owned());
        Self {
            rows: vec![names.collect()],
            right: columns.iter().map(|name| name.starts_with('>')).collect(),
        }
    }

    /// Adds a row, a cell for each column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.right.len());
        self.rows.push(cells);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                let cell = if right {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Lines of at most that many characters; a word that is longer has a line of its own.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > columns {
            lines.push(String::new());
            used = 0;
        }
        let line = lines.last_mut().expect("there is one");
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += len;
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wrapping_keeps_each_word_and_the_width(text in "[a-z]{1,20}( [a-z]{1,20}){0,40}") {
            let lines = wrap(&text, 30);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= 30));
            prop_assert_eq!(lines.join(" "), text);
        }
    }
}
