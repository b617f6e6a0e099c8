//! The five layouts.
//!
//! Where it sits: called by `Printer::print`.

use std::fmt::Write;

use super::{Format, Headings, JsonLayout, Style, Table};
use crate::json::{Json, Object};
use crate::uuid::Uuid;

pub(super) fn write(out: &mut String, table: &Table, style: &Style) {
    match style.format {
        Format::Table => write_table(out, table, style),
        Format::List => write_list(out, table, style),
        Format::Html => write_html(out, table, style),
        Format::Csv => write_csv(out, table, style),
        Format::Json => write_json(out, table, style),
    }
}

fn write_preamble(out: &mut String, table: &Table) {
    for line in [&table.timestamp, &table.caption].into_iter().flatten() {
        out.push_str(line);
        out.push('\n');
    }
}

fn texts(table: &Table, style: &Style) -> Vec<Vec<String>> {
    table.rows.iter().map(|row| row.iter().map(|cell| cell.to_text(style.cells)).collect()).collect()
}

fn write_table(out: &mut String, table: &Table, style: &Style) {
    write_preamble(out, table);
    let rows = texts(table, style);
    let shown = style.headings == Headings::Shown;
    let mut widths: Vec<usize> =
        table.headings.iter().map(|h| if shown { h.chars().count() } else { 0 }).collect();
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    if let Some(most) = style.max_column_width {
        widths.iter_mut().for_each(|width| *width = (*width).min(most.get()));
    }
    if shown {
        write_row(out, &table.headings, &widths);
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        write_row(out, &rules, &widths);
    }
    for row in &rows {
        write_row(out, row, &widths);
    }
}

/// A line of cells, without space at its end.
fn write_row(out: &mut String, texts: &[String], widths: &[usize]) {
    let mut space = 0;
    for (text, &width) in texts.iter().zip(widths) {
        if !text.is_empty() {
            out.extend(std::iter::repeat_n(' ', space));
            out.extend(text.chars().take(width));
            space = 0;
        }
        space += width.saturating_sub(text.chars().count()) + 1;
    }
    out.push('\n');
}

fn write_list(out: &mut String, table: &Table, style: &Style) {
    write_preamble(out, table);
    for (i, row) in texts(table, style).iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for (heading, text) in table.headings.iter().zip(row) {
            match style.headings {
                Headings::Shown => _ = writeln!(out, "{heading:<20}: {text}"),
                Headings::Hidden => _ = writeln!(out, "{text}"),
            }
        }
    }
}

fn write_html(out: &mut String, table: &Table, style: &Style) {
    if let Some(timestamp) = &table.timestamp {
        _ = writeln!(out, "{timestamp}");
    }
    out.push_str("<table border=1>\n");
    if let Some(caption) = &table.caption {
        _ = writeln!(out, "    <caption>{}</caption>", escape_html(caption));
    }
    if style.headings == Headings::Shown {
        out.push_str("  <tr>\n");
        for heading in &table.headings {
            _ = writeln!(out, "    <th>{}</th>", escape_html(heading));
        }
        out.push_str("  </tr>\n");
    }
    for row in texts(table, style) {
        out.push_str("  <tr>\n");
        for (heading, text) in table.headings.iter().zip(&row) {
            let cell = if heading == "_uuid" { html_anchor(text) } else { html_links(text) };
            _ = writeln!(out, "    <td>{cell}</td>");
        }
        out.push_str("  </tr>\n");
    }
    out.push_str("</table>\n");
}

/// The place that references to a row lead to.
fn html_anchor(text: &str) -> String {
    let short: String = text.chars().take(8).collect();
    format!("<a name=\"{}\">{}</a>", escape_html(text), escape_html(&short))
}

/// Text in which every UUID became a link.
fn html_links(text: &str) -> String {
    let mut out = String::new();
    let mut plain = 0;
    let mut at = 0;
    while at < text.len() {
        if text.is_char_boundary(at)
            && let Some(uuid) = Uuid::parse_prefix(&text[at..])
        {
            out.push_str(&escape_html(&text[plain..at]));
            _ = write!(out, "<a href=\"#{uuid}\">{:08x}</a>", uuid.first_word());
            at += 36;
            plain = at;
        } else {
            at += 1;
        }
    }
    out.push_str(&escape_html(&text[plain..]));
    out
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn write_csv(out: &mut String, table: &Table, style: &Style) {
    write_preamble(out, table);
    let mut line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| escape_csv(cell)).collect();
        _ = writeln!(out, "{}", cells.join(","));
    };
    if style.headings == Headings::Shown {
        line(&table.headings);
    }
    texts(table, style).iter().for_each(|row| line(row));
}

fn escape_csv(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn write_json(out: &mut String, table: &Table, style: &Style) {
    let mut members = Object::new();
    if let Some(caption) = &table.caption {
        members.insert("caption", Json::string(&**caption));
    }
    if let Some(timestamp) = &table.timestamp {
        members.insert("time", Json::string(&**timestamp));
    }
    members.insert("headings", Json::array(table.headings.iter().map(String::as_str)));
    let rows = table.rows.iter().map(|row| Json::Array(row.iter().map(super::Cell::to_json).collect()));
    members.insert("data", Json::array(rows));
    let json = Json::Object(members);
    match style.json {
        JsonLayout::Compact => _ = writeln!(out, "{json}"),
        JsonLayout::Pretty => _ = writeln!(out, "{}", json.pretty()),
    }
}
