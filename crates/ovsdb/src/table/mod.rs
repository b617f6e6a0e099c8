//! Tables as the tools print them: text columns, lists, CSV, HTML and JSON.
//!
//! Where it sits: ovsdb-client and ovs-vsctl fill a `Table` and hand it to a `Printer`; layout is in `layout.rs`.
//!
//! I1  A printer puts an empty line between two tables, in the formats for people.
//!
//! Spec: ovs-vsctl(8) "Table Formatting Options".

mod layout;

use std::num::NonZeroUsize;

use crate::atom::Atom;
use crate::column_type::ColumnType;
use crate::datum::Datum;
use crate::json::Json;
use crate::uuid::Uuid;

/// What one cell holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing, which is null in JSON.
    Empty,
    /// Plain text.
    Text(String),
    /// JSON, shown as JSON.
    Json(Json),
    /// A value of a column.
    Value(Datum, ColumnType),
}

/// The layout of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One `column: value` per line.
    List,
    /// An HTML table.
    Html,
    /// Comma-separated values.
    Csv,
    /// One JSON object.
    Json,
}

/// How values look inside cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellFormat {
    /// The text form that commands also read.
    #[default]
    String,
    /// Text without quotes and brackets.
    Bare,
    /// JSON.
    Json,
}

/// Whether column names are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Headings {
    /// They are.
    #[default]
    Shown,
    /// They are not.
    Hidden,
}

/// Whether JSON is laid out over several lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonLayout {
    /// One line.
    #[default]
    Compact,
    /// Indented.
    Pretty,
}

/// Everything that options say about printing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// `--format`.
    pub format: Format,
    /// `--data`; unset means JSON cells in JSON tables, text elsewhere.
    pub cells: CellFormat,
    /// `--no-headings`.
    pub headings: Headings,
    /// `--pretty`.
    pub json: JsonLayout,
    /// `--max-column-width`: what is beyond that many characters in a column of [`Format::Table`] is cut off.
    pub max_column_width: Option<NonZeroUsize>,
}

impl Style {
    /// Takes the value of `--max-column-width`: what is no number, or zero, is no limit.
    pub fn limit_columns(&mut self, value: &str) {
        self.max_column_width = value.parse().ok();
    }
}

impl Format {
    /// The format that `--format` calls `name`.
    pub fn from_name(name: &str) -> Option<Format> {
        Some(match name {
            "table" => Format::Table,
            "list" => Format::List,
            "html" => Format::Html,
            "csv" => Format::Csv,
            "json" => Format::Json,
            _ => return None,
        })
    }
}

impl CellFormat {
    /// The format that `--data` calls `name`.
    pub fn from_name(name: &str) -> Option<CellFormat> {
        Some(match name {
            "string" => CellFormat::String,
            "bare" => CellFormat::Bare,
            "json" => CellFormat::Json,
            _ => return None,
        })
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// A line above the table.
    pub caption: Option<String>,
    /// A date and time above the table, already formatted.
    pub timestamp: Option<String>,
    /// Column names.
    pub headings: Vec<String>,
    /// Rows of as many cells as there are headings.
    pub rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// The cell of a UUID.
    pub fn uuid(uuid: Uuid) -> Cell {
        Cell::Value(Datum::scalar(Atom::Uuid(uuid)), ColumnType::UUID)
    }

    fn to_text(&self, cells: CellFormat) -> String {
        match (self, cells) {
            (Cell::Empty, _) => String::new(),
            (Cell::Text(text), _) => text.clone(),
            (Cell::Json(json), _) => json.to_string(),
            (Cell::Value(datum, kind), CellFormat::String) => datum.to_text(kind),
            (Cell::Value(datum, _), CellFormat::Bare) => datum.to_bare(),
            (Cell::Value(datum, kind), CellFormat::Json) => datum.to_json(kind).to_string(),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Cell::Empty => Json::Null,
            Cell::Text(text) => Json::string(&**text),
            Cell::Json(json) => json.clone(),
            Cell::Value(datum, kind) => datum.to_json(kind),
        }
    }
}

impl Table {
    /// An empty table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Table {
        Table { headings: headings.into_iter().map(Into::into).collect(), ..Table::default() }
    }
}

/// Prints tables one after the other.
#[derive(Clone, Debug, Default)]
pub struct Printer {
    /// How.
    pub style: Style,
    printed: bool,
}

impl Printer {
    /// A printer that has not printed yet.
    pub fn new(style: Style) -> Printer {
        Printer { style, printed: false }
    }

    /// The text of `table`, newline included.
    pub fn print(&mut self, table: &Table) -> String {
        let mut out = String::new();
        if self.printed && matches!(self.style.format, Format::Table | Format::List | Format::Csv) {
            out.push('\n'); // I1
        }
        self.printed = true;
        layout::write(&mut out, table, &self.style);
        out
    }
}

#[cfg(test)]
mod tests;
