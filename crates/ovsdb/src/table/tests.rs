use super::*;
use crate::atom::AtomicType;
use crate::base_type::BaseType;

fn sample() -> Table {
    let strings = ColumnType::map(BaseType::new(AtomicType::String), BaseType::new(AtomicType::String));
    let uuids = ColumnType::set(BaseType::new(AtomicType::Uuid), 0, u32::MAX);
    let uuid = Uuid::parse("a18f318d-cdfb-4076-ab2e-ba831f76c6f9").unwrap();
    let mut table = Table::new(["name", "other_config", "ports"]);
    table.caption = Some("Bridge table".into());
    table.rows.push(vec![
        Cell::Value(Datum::scalar("br0"), ColumnType::scalar(BaseType::new(AtomicType::String))),
        Cell::Value(Datum::string_map([("x", "a<b>,c \"d"), ("y", "2")]), strings),
        Cell::Value(Datum::scalar(uuid), uuids),
    ]);
    table
}

fn check(format: Format, cells: CellFormat, expected: &str) {
    let mut printer = Printer::new(Style { format, cells, ..Style::default() });
    assert_eq!(printer.print(&sample()), expected);
}

#[test]
fn table_is_aligned() {
    check(
        Format::Table,
        CellFormat::String,
        "Bridge table\n\
         name other_config            ports\n\
         ---- ----------------------- --------------------------------------\n\
         br0  {x=\"a<b>,c \\\"d\", y=\"2\"} [a18f318d-cdfb-4076-ab2e-ba831f76c6f9]\n",
    );
}

#[test]
fn list_pads_headings_to_twenty() {
    check(
        Format::List,
        CellFormat::Bare,
        "Bridge table\n\
         name                : br0\n\
         other_config        : x=a<b>,c \"d y=2\n\
         ports               : a18f318d-cdfb-4076-ab2e-ba831f76c6f9\n",
    );
}

#[test]
fn html_links_rows() {
    check(
        Format::Html,
        CellFormat::String,
        "<table border=1>\n    <caption>Bridge table</caption>\n  <tr>\n    <th>name</th>\n    \
         <th>other_config</th>\n    <th>ports</th>\n  </tr>\n  <tr>\n    <td>br0</td>\n    \
         <td>{x=&quot;a&lt;b&gt;,c \\&quot;d&quot;, y=&quot;2&quot;}</td>\n    \
         <td>[<a href=\"#a18f318d-cdfb-4076-ab2e-ba831f76c6f9\">a18f318d</a>]</td>\n  </tr>\n</table>\n",
    );
}

#[test]
fn csv_quotes_what_needs_it() {
    check(
        Format::Csv,
        CellFormat::String,
        "Bridge table\nname,other_config,ports\n\
         br0,\"{x=\"\"a<b>,c \\\"\"d\"\", y=\"\"2\"\"}\",[a18f318d-cdfb-4076-ab2e-ba831f76c6f9]\n",
    );
}

#[test]
fn json_ignores_the_cell_format() {
    check(
        Format::Json,
        CellFormat::Bare,
        "{\"caption\":\"Bridge table\",\"data\":[[\"br0\",[\"map\",[[\"x\",\"a<b>,c \\\"d\"],[\"y\",\"2\"]]],\
         [\"uuid\",\"a18f318d-cdfb-4076-ab2e-ba831f76c6f9\"]]],\"headings\":[\"name\",\"other_config\",\"ports\"]}\n",
    );
}

#[test]
fn tables_are_separated() {
    let mut printer = Printer::new(Style { headings: Headings::Hidden, ..Style::default() });
    let mut table = Table::new(["a", "b"]);
    table.rows.push(vec![Cell::Text("1".into()), Cell::Text("2".into())]);
    assert_eq!(printer.print(&table), "1 2\n");
    assert_eq!(printer.print(&table), "\n1 2\n");
}
