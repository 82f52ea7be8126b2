//! How tables look: aligned columns without lines, states coloured.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use holm_model::time::Time;
use serde::Serialize;

use super::clean;
use super::notes::Waiting;

/// Something that stands in tables.
pub(crate) trait Listed: Serialize + Sized + 'static {
    const COLUMNS: &'static [Column<Self>];

    /// By which names people ask for it.
    fn names(&self) -> Vec<String>;

    /// What people have to decide before it goes on.
    fn waits(&self) -> Vec<Waiting> {
        Vec::new()
    }

    /// The same for the same thing at another time.
    fn key(&self) -> String {
        self.names().join("\0")
    }
}

/// One column of a table of `T`.
#[derive(Debug)]
pub(crate) struct Column<T> {
    head: &'static str,
    shown: Shown,
    cell: fn(&T, Time) -> String,
}

/// When a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Always,
    /// By `-o wide` only.
    Wide,
    /// When it is known of any of the things.
    Known,
}

// === impl Column ===

impl<T> Column<T> {
    pub(crate) const fn new(head: &'static str, cell: fn(&T, Time) -> String) -> Self {
        Self { head, shown: Shown::Always, cell }
    }

    /// Shown by `-o wide` only.
    pub(crate) const fn wide(head: &'static str, cell: fn(&T, Time) -> String) -> Self {
        Self { head, shown: Shown::Wide, cell }
    }

    /// Shown when it is known of any of the things.
    pub(crate) const fn known(head: &'static str, cell: fn(&T, Time) -> String) -> Self {
        Self { head, shown: Shown::Known, cell }
    }
}

/// A table with its header; without rows a sentence.
pub(crate) fn render<T: Listed>(items: &[T], wide: bool, now: Time, ink: bool) -> String {
    let known = |column: &Column<T>| items.iter().any(|item| !(column.cell)(item, now).is_empty());
    with_columns(items, now, ink, |column| match column.shown {
        Shown::Always => true,
        Shown::Wide => wide,
        Shown::Known => wide || known(column),
    })
}

/// As [`render`], for the first of many tables: its columns do not depend on what is in it.
pub(crate) fn render_first<T: Listed>(items: &[T], wide: bool, now: Time, ink: bool) -> String {
    with_columns(items, now, ink, |column| wide || column.shown == Shown::Always)
}

fn with_columns<T: Listed>(items: &[T], now: Time, ink: bool, shown: impl Fn(&Column<T>) -> bool) -> String {
    if items.is_empty() {
        return "Nothing found.\n".to_owned();
    }
    let columns: Vec<_> = T::COLUMNS.iter().filter(|column| shown(column)).collect();
    let row = |item: &T| columns.iter().map(|column| (column.cell)(item, now)).collect();
    plain(&columns.iter().map(|column| column.head).collect::<Vec<_>>(), items.iter().map(row).collect(), ink)
}

/// A table of texts.
pub(crate) fn plain(head: &[&str], rows: Vec<Vec<String>>, ink: bool) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if ink {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if !head.is_empty() {
        table.set_header(head.iter().copied());
    }
    for row in rows {
        table.add_row(row.iter().map(|text| cell(text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    format!("{}\n", table.trim_fmt())
}

/// A name and a value in each line.
pub(crate) fn pairs<N: AsRef<str>>(rows: &[(N, String)], ink: bool) -> String {
    let row = |(name, value): &(N, String)| vec![format!("{}:", name.as_ref()), value.clone()];
    plain(&[], rows.iter().map(row).collect(), ink)
}

fn cell(text: &str) -> Cell {
    let text = if text.is_empty() { "-".to_owned() } else { clean(text) };
    match colour(&text) {
        Some(colour) => Cell::new(text).fg(colour),
        None => Cell::new(text),
    }
}

/// Colours of words that are states; everything else has none.
pub(crate) fn colour(word: &str) -> Option<Color> {
    match word {
        "RUNNING" | "online" | "COMPLETED" => Some(Color::Green),
        "FAILED" | "ERROR" | "DANGLING" | "offline" | "revoked" => Some(Color::Red),
        "REQUESTED" | "SCHEDULED_CLUSTER" | "SCHEDULED_NODE" | "PREPARING" | "STARTING" | "INITIAL"
        | "INSTANTIATING" | "DEGRADED" | "SCALING" | "UPDATING" | "STOPPING" | "PAUSED" | "MIGRATING"
        | "unknown" => Some(Color::Yellow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::instance;

    #[test]
    fn columns_are_aligned_and_lines_end_where_the_text_ends() {
        let items = [instance("1-aa-1", "web/0"), instance("1-aa-2", "collector/vienna/fl-1")];
        let text = render(&items, false, Time(12_000), false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let at = lines[0].find("STATE").unwrap();
        assert!(lines[1][at..].starts_with("RUNNING"), "{text}");
        assert!(lines[2][at..].starts_with("RUNNING"), "{text}");
        assert!(lines.iter().all(|line| line.trim_end() == *line), "{text:?}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let items = [instance("1-aa-1", "web/0")];
        assert!(render(&items, true, Time(0), true).contains("\u{1b}["));
        assert!(!render(&items, true, Time(0), false).contains("\u{1b}["));
    }

    #[test]
    fn a_column_that_is_empty_for_all_is_left_out() {
        let mut items = [instance("1-aa-1", "web/0"), instance("1-aa-2", "web/1")];
        assert!(!render(&items, false, Time(0), false).contains("OWNER"));
        items[1].owner = Some("vienna".to_owned());
        assert!(render(&items, false, Time(0), false).contains("OWNER"));
        assert!(
            !render_first(&items, false, Time(0), false).contains("OWNER"),
            "rows to come decide nothing"
        );
    }

    #[test]
    fn wide_tables_have_more_columns() {
        let items = [instance("1-aa-1", "web/0")];
        assert!(render(&items, true, Time(0), false).contains("1-aa-1"));
        assert!(!render(&items, false, Time(0), false).contains("1-aa-1"));
    }
}
