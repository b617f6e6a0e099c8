//! The codec against texts and answers taken from C's server, and its invariants as properties.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(input: &str, expected: &str) {
    let value: Json = format!("[{input}]").parse().unwrap();
    assert_eq!(value.to_string(), format!("[{expected}]"));
}

#[track_caller]
fn check_error(input: &[u8], expected: &str) {
    assert_eq!(parse(input).unwrap_err().to_string(), expected);
}

#[test]
fn numbers_are_canonical() {
    let table = [
        ("1.0", "1"),
        ("1e5", "100000"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e400", "0"),
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        ("1e-7", "1e-07"),
        ("0.000001", "1e-06"),
        ("0.0001", "0.0001"),
        ("1e22", "1e+22"),
        ("1e15", "1000000000000000"),
        ("1e16", "10000000000000000"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9.22337203685478e+18"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-9223372036854775809", "-9.22337203685478e+18"),
        ("18446744073709551616", "1.84467440737096e+19"),
        ("922337203685477580.7e1", "9223372036854775807"),
        ("1.23456789012345678", "1.23456789012346"),
        ("150e-1", "15"),
        ("100000.5", "100000.5"),
        ("1E+5", "100000"),
        ("1e-400", "0"),
        ("1.7976931348623157e308", "1.79769313486232e+308"),
        ("123456789012345678901.0", "1.23456789012346e+20"),
        ("-1.5e-5", "-1.5e-05"),
    ];
    for (input, expected) in table {
        check(input, expected);
    }
}

#[test]
fn strings() {
    check(r#""a\u0041\n\t\/\\\"\b\f\r""#, r#""aA\n\t/\\\"\b\f\r""#);
    check(r#""\ud834\udd1e""#, "\"\u{1d11e}\"");
    check(r#""\u007f\u001f""#, "\"\u{7f}\\u001f\"");
    check(r#"{"b":1,"a":2,"b":3}"#, r#"{"a":2,"b":3}"#);
}

/// Texts and positions as C's `ovsdb-client transact` and C's server print them.
#[test]
fn errors_say_what_and_where() {
    let table: &[(&str, &str)] = &[
        ("", "line 0, column 0, byte 0: empty input stream"),
        ("x y", "line 0, column 1, byte 1: invalid keyword 'x'"),
        ("[", "line 0, column 1, byte 1: unexpected end of input"),
        ("[1", "line 0, column 3, byte 3: unexpected end of input"),
        ("[true", "line 0, column 6, byte 6: unexpected end of input"),
        ("{\"a\":1", "line 0, column 7, byte 7: unexpected end of input"),
        ("[\"a", "line 0, column 3, byte 3: unexpected end of input in quoted string"),
        ("[tru", "line 0, column 4, byte 4: invalid keyword 'tru'"),
        ("[1e", "line 0, column 3, byte 3: exponent must contain at least one digit"),
        ("1", "line 0, column 1, byte 1: syntax error at beginning of input"),
        ("\n\n  }", "line 2, column 2, byte 4: syntax error at beginning of input"),
        ("[]x", "line 0, column 3, byte 3: invalid keyword 'x'"),
        ("[] ]", "line 0, column 3, byte 3: trailing garbage at end of input"),
        ("[1,\n2,\n  x]", "line 2, column 3, byte 10: invalid keyword 'x'"),
        ("[1.]", "line 0, column 3, byte 3: decimal point must be followed by digit"),
        ("[00]", "line 0, column 3, byte 3: leading zeros not allowed"),
        ("[-]", "line 0, column 2, byte 2: '-' must be followed by digit"),
        ("[1-]", "line 0, column 3, byte 3: syntax error in number"),
        ("[1e400]", "line 0, column 6, byte 6: number outside valid range"),
        ("[4.9e-324]", "line 0, column 9, byte 9: number outside valid range"),
        ("[1e99999999999]", "line 0, column 14, byte 14: exponent outside valid range"),
        ("[+1]", "line 0, column 1, byte 1: invalid character '+'"),
        ("[True]", "line 0, column 1, byte 1: invalid character 'T'"),
        ("[\u{7f}]", "line 0, column 1, byte 1: invalid character U+007f"),
        ("[true1]", "line 0, column 6, byte 6: syntax error expecting ']' or ','"),
        ("[\"\\u0000\"]", "line 0, column 8, byte 8: null bytes not supported in quoted strings"),
        ("[\"\\ud800\"]", "line 0, column 8, byte 8: malformed escaped surrogate pair"),
        ("[\"\\u12\"]", "line 0, column 6, byte 6: quoted string ends within \\u escape"),
        ("[\"\\u12g4\"]", "line 0, column 8, byte 8: malformed \\u escape"),
        ("[\"\\x\"]", "line 0, column 4, byte 4: bad escape \\x"),
        ("[\"\u{1f}\"]", "line 0, column 2, byte 2: U+001F must be escaped in quoted string"),
        ("[1,]", "line 0, column 3, byte 3: syntax error expecting value"),
        ("[}", "line 0, column 1, byte 1: syntax error expecting value"),
        ("{,}", "line 0, column 1, byte 1: syntax error parsing object expecting string"),
        ("{1:2}", "line 0, column 2, byte 2: syntax error parsing object expecting string"),
        ("{\"a\"}", "line 0, column 4, byte 4: syntax error parsing object expecting ':'"),
        ("{\"a\":1 \"b\"}", "line 0, column 9, byte 9: syntax error expecting '}' or ','"),
        ("[1 2]", "line 0, column 4, byte 4: syntax error expecting ']' or ','"),
    ];
    for (input, expected) in table {
        check_error(input.as_bytes(), expected);
    }
    check_error(
        b"[\"\\ud800\\u0041\"]",
        "line 0, column 14, byte 14: second half of escaped surrogate pair is not trailing surrogate",
    );
    check_error(b"[\xff]", "line 0, column 1, byte 1: invalid character U+00ff");
    check_error(b"[\"\xff\"]", "line 0, column 3, byte 3: quoted string is not valid UTF-8");
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    check_error(
        &nested(MAX_DEPTH + 1),
        "line 0, column 1000, byte 1000: input exceeds maximum nesting depth 1000",
    );
}

/// Eight bytes are looked at at once: whatever stands where, the run ends at the first that may not stand in a string.
#[test]
fn a_run_of_plain_characters_ends_where_it_must() {
    for len in 0..40 {
        assert_eq!(lexer::plain_run(&vec![b'a'; len]), len);
        for at in 0..len {
            for byte in 0..=255u8 {
                for around in [0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let mut text = vec![around; len];
                    text[at] = byte;
                    let special = matches!(byte, b'"' | b'\\' | 0..0x20);
                    assert_eq!(lexer::plain_run(&text), if special { at } else { len }, "{text:x?}");
                }
            }
        }
    }
}

#[test]
fn length_is_bounded() {
    let mut parser = Parser::with_limit(5);
    assert!(parser.feed(b"[1,2]").unwrap().1.is_some());
    assert_eq!(parser.feed(b"[1,22]").unwrap_err().kind, ErrorKind::TooLong);
    let mut parser = Parser::with_limit(5);
    assert_eq!(parser.feed(b"[\"aaaaaaaa\"]").unwrap_err().kind, ErrorKind::TooLong);
}

#[test]
fn pretty_layout() {
    let value: Json = r#"[{"rows":[]},{"a":1,"b":[1,{}]}]"#.parse().unwrap();
    let expected = "[\n  {\n    \"rows\": []},\n  {\n    \"a\": 1,\n    \"b\": [\n      1,\n      {}]}]";
    assert_eq!(value.pretty().to_string(), expected);
}

fn arbitrary_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::Integer),
        // Fifteen digits survive a round trip.
        (-999_999_999_999_999i64..999_999_999_999_999, -200i32..200).prop_filter_map("number", |(m, e)| {
            format!("{m}e{e}").parse::<f64>().ok().and_then(Json::number)
        }),
        "\\PC*|[\u{1}-\u{7f}]*".prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
            prop::collection::btree_map("[a-z\"\\\\\n]*", inner, 0..8).prop_map(Json::object),
        ]
    })
}

/// What a parser makes of `text` in pieces of `step` bytes: how many bytes it takes, and the message if it ends there.
fn first_message(text: &[u8], step: usize) -> Result<(usize, Option<Json>), ParseError> {
    let (mut parser, mut taken) = (Parser::new(), 0);
    for chunk in text.chunks(step) {
        let (more, message) = parser.feed(chunk)?;
        taken += more;
        if message.is_some() {
            return Ok((taken, message));
        }
    }
    Ok((taken, None))
}

proptest! {
    #[test]
    fn printing_then_parsing_is_identity(value in arbitrary_json()) {
        let message = Json::Array(vec![value]);
        prop_assert_eq!(&message.to_string().parse::<Json>().unwrap(), &message);
        prop_assert_eq!(&message.pretty().to_string().parse::<Json>().unwrap(), &message);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_messages(values in prop::collection::vec(arbitrary_json(), 1..5), step in 1usize..7) {
        let messages: Vec<Json> = values.into_iter().map(|v| Json::Array(vec![v])).collect();
        let text: String = messages.iter().map(Json::to_string).collect::<Vec<_>>().join(" ");
        let mut parser = Parser::new();
        let mut got = Vec::new();
        for mut chunk in text.as_bytes().chunks(step) {
            while !chunk.is_empty() {
                let (consumed, message) = parser.feed(chunk).unwrap();
                got.extend(message);
                chunk = &chunk[consumed..];
            }
        }
        prop_assert_eq!(got, messages);
        prop_assert!(parser.is_idle());
    }

    /// Text in pieces of one byte is never read as a whole; however it is cut, the parser says the same of good text and of bad.
    #[test]
    fn any_split_of_a_message_gives_the_same_value_or_error(
        text in "[\\[{]([\\[\\]{}:,\"\\\\]|[ \n]|\"[a-fé\u{1}\\\\\"u0]{0,10}\"|true|nul|-?[0-9]{1,20}|[0-9]\\.[0-9]|1e[+-]?[0-9]|:\"k\"){0,24}[\\]}]{0,3}",
        value in arbitrary_json(),
        cut in 0usize..400,
        damage in any::<u8>(),
        step in 2usize..50,
    ) {
        let mut wrong = Json::Array(vec![value]).pretty().to_string().into_bytes();
        let mut short = wrong.clone();
        short.truncate(cut);
        let at = cut % wrong.len();
        wrong[at] = damage;
        for text in [text.as_bytes(), &short, &wrong] {
            let in_bytes = first_message(text, 1);
            for step in [step, usize::MAX] {
                prop_assert_eq!(&first_message(text, step), &in_bytes, "{:?}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn json_like_bytes_are_safe(text in "[\\[\\]{}:,\"\\\\u0-9eE.+\\-a-f \n]{0,40}") {
        if let Ok(value) = parse(text.as_bytes()) {
            // Printing cuts reals to fifteen digits, so texts are compared.
            let printed = value.to_string();
            prop_assert_eq!(printed.parse::<Json>().unwrap().to_string(), printed);
        }
    }
}
