//! Which columns of a table a width has room for: columns are left out whole, never cut.

use ratatui::layout::Constraint;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<T> {
    /// What is in it.
    pub(super) what: T,
    /// Its heading.
    pub(super) title: &'static str,
    /// Width of its values.
    pub(super) width: u16,
    /// The lower, the more it is needed; 0 is always there.
    pub(super) rank: u8,
    /// It takes what the others leave.
    pub(super) grows: bool,
}

/// A column of a fixed width.
pub(super) const fn column<T>(what: T, title: &'static str, width: u16, rank: u8) -> Column<T> {
    Column {
        what,
        title,
        width,
        rank,
        grows: false,
    }
}

impl<T> Column<T> {
    /// Takes what the others leave.
    pub(super) const fn growing(mut self) -> Self {
        self.grows = true;
        self
    }
}

/// The columns that fit side by side with a blank in between, in their own order; with the width each
/// one gets.
pub(super) fn fitting<T: Copy>(columns: &[Column<T>], width: u16) -> Vec<Column<T>> {
    let ranks = columns.iter().map(|column| column.rank);
    let needed = |rank| {
        let up_to = columns.iter().filter(|column| column.rank <= rank);
        up_to.map(|column| column.width + 1).sum::<u16>().max(1) - 1
    };
    let last = ranks
        .filter(|&rank| needed(rank) <= width)
        .max()
        .unwrap_or(0);
    let spare = width.saturating_sub(needed(last));
    let shown = || columns.iter().filter(|column| column.rank <= last);
    let growing = shown().filter(|column| column.grows).count() as u16;
    shown()
        .map(|column| Column {
            width: column.width + if column.grows { spare / growing } else { 0 },
            ..*column
        })
        .collect()
}

/// As the table takes them.
pub(super) fn widths<T>(columns: &[Column<T>]) -> Vec<Constraint> {
    let width = |column: &Column<T>| Constraint::Length(column.width);
    columns.iter().map(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<char>; 4] = [
        column('a', "first", 9, 0),
        column('b', "second", 6, 2),
        column('c', "third", 8, 1),
        column('d', "fourth", 5, 3).growing(),
    ];

    fn at(width: u16) -> String {
        fitting(&COLUMNS, width)
            .iter()
            .map(|column| column.what)
            .collect()
    }

    #[test]
    fn columns_come_in_by_rank_and_stand_in_order() {
        assert_eq!(at(5), "a");
        assert_eq!((at(17), at(18)), ("a".into(), "ac".into()));
        assert_eq!((at(24), at(25)), ("ac".into(), "abc".into()));
        assert_eq!(at(31), "abcd");
        assert_eq!(fitting(&COLUMNS, 40)[3].width, 14);
    }
}
