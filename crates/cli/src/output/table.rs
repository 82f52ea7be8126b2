//! How tables look: aligned columns without lines, states coloured.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use holm_model::time::Time;
use rustix::termios::tcgetwinsize;
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

/// Characters between columns.
const GAP: u16 = 2;
/// No column is made narrower than this.
const NARROW: usize = 12;

/// A table with its header; without rows a sentence.
pub(crate) fn render<T: Listed>(items: &[T], wide: bool, now: Time, ink: bool) -> String {
    let known = |column: &Column<T>| items.iter().any(|item| !(column.cell)(item, now).is_empty());
    with_columns(items, now, ink, window(wide), |column| match column.shown {
        Shown::Always => true,
        Shown::Wide => wide,
        Shown::Known => wide || known(column),
    })
}

/// As [`render`], for the first of many tables: its columns do not depend on what is in it.
pub(crate) fn render_first<T: Listed>(items: &[T], wide: bool, now: Time, ink: bool) -> String {
    with_columns(items, now, ink, window(wide), |column| wide || column.shown == Shown::Always)
}

/// Characters of a line of the window, if it is one; wide tables go as far as they must.
fn window(wide: bool) -> Option<usize> {
    let size = tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && !wide)?;
    Some(usize::from(size.ws_col))
}

fn with_columns<T: Listed>(
    items: &[T],
    now: Time,
    ink: bool,
    window: Option<usize>,
    shown: impl Fn(&Column<T>) -> bool,
) -> String {
    if items.is_empty() {
        return "Nothing found.\n".to_owned();
    }
    let columns: Vec<_> = T::COLUMNS.iter().filter(|column| shown(column)).collect();
    let row = |item: &T| columns.iter().map(|column| clean(&(column.cell)(item, now))).collect();
    let mut head: Vec<_> = columns.iter().map(|column| column.head).collect();
    let mut rows = items.iter().map(row).collect();
    if let Some(window) = window {
        fit(&mut head, &mut rows, window);
    }
    plain(&head, rows, ink)
}

/// Shortens the widest columns until a row fits into a line; where that is not enough, the last ones are left out.
fn fit(head: &mut Vec<&str>, rows: &mut Vec<Vec<String>>, window: usize) {
    let wide = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|head| head.len())).max().unwrap_or_default()
    };
    let mut widths: Vec<usize> = (0..head.len()).map(wide).collect();
    let line =
        |widths: &[usize]| widths.iter().sum::<usize>() + usize::from(GAP) * widths.len().saturating_sub(1);
    while line(&widths) > window {
        if let Some(widest) = widths.iter_mut().max().filter(|width| **width > NARROW) {
            *widest -= 1;
        } else if widths.len() > 1 {
            // The first one says what the line is about.
            widths.pop();
        } else {
            break;
        }
    }
    head.truncate(widths.len());
    for row in rows {
        row.truncate(widths.len());
        for (cell, width) in row.iter_mut().zip(&widths) {
            if cell.chars().count() > *width {
                *cell = cell.chars().take(width.saturating_sub(1)).chain(['…']).collect();
            }
        }
    }
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
        column.set_padding((0, GAP));
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

    #[test]
    fn a_table_fits_into_a_narrow_window_line_by_line() {
        let head = ["NAME", "STATE", "NODE", "REASON"];
        let row =
            ["collector/vienna/fl-1", "RUNNING", "fl-1", "it was started again after its node came back"];
        let fitted = |window| {
            let (mut head, mut rows) = (head.to_vec(), vec![row.map(str::to_owned).to_vec()]);
            fit(&mut head, &mut rows, window);
            plain(&head, rows, false)
        };
        for window in [200, 80, 60, 40, 20] {
            let text = fitted(window);
            assert!(text.lines().all(|line| line.chars().count() <= window), "{window}: {text}");
            assert!(text.starts_with("NAME"), "{text}");
        }
        assert!(fitted(200).contains(row[3]) && !fitted(200).contains('…'));
        assert!(fitted(80).contains(row[0]) && fitted(80).contains('…'), "the longest one first");
        assert!(!fitted(20).contains("REASON"));
    }
}
