//! A table printed row by row, as its rows become known.
//!
//! Where it sits: `demo::play` prints with it.

/// Columns with titles and widths; the last one takes what it needs.
pub struct Table<const N: usize> {
    titles: [&'static str; N],
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with these columns.
    pub const fn new(titles: [&'static str; N], widths: [usize; N]) -> Self {
        Self { titles, widths }
    }

    /// Prints the titles and a line.
    pub fn head(&self) {
        self.row(self.titles);
        let lines = self.widths.map(|width| "-".repeat(width.max(8)));
        self.row(std::array::from_fn(|column| lines.get(column).map_or("", String::as_str)));
    }

    /// Prints a row.
    pub fn row(&self, cells: [&str; N]) {
        let padded = cells.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("  {}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}
