//! Properties of values: text and JSON forms read back as what was printed; differences lead from one value to the other.

use ovsdb::{Atom, AtomicType, BaseType, ColumnType, Datum, Limits, RefType, Uuid};
use proptest::collection::vec;
use proptest::prelude::*;

fn base() -> impl Strategy<Value = BaseType> {
    prop_oneof![
        Just(BaseType::new(AtomicType::Integer)),
        Just(BaseType::new(AtomicType::Real)),
        Just(BaseType::new(AtomicType::Boolean)),
        Just(BaseType::new(AtomicType::String)),
        Just(BaseType::new(AtomicType::Uuid)),
        (-5i64..0, 0i64..5).prop_map(|(lo, hi)| BaseType {
            limits: Limits::Integer(lo, hi),
            ..BaseType::new(AtomicType::Integer)
        }),
        (0u32..3, 3u32..6).prop_map(|(lo, hi)| BaseType {
            limits: Limits::Length(lo, hi),
            ..BaseType::new(AtomicType::String)
        }),
        Just(BaseType {
            limits: Limits::Reference("T".into(), RefType::Weak),
            ..BaseType::new(AtomicType::Uuid)
        }),
    ]
}

fn kind() -> impl Strategy<Value = ColumnType> {
    (base(), proptest::option::of(base()), 0u32..2, 1u32..6).prop_map(|(key, value, min, max)| ColumnType {
        key,
        value,
        min,
        max,
    })
}

/// An atom without regard to constraints.
fn atom(base: &BaseType) -> BoxedStrategy<Atom> {
    match (base.kind, &base.limits) {
        (AtomicType::Integer, Limits::Integer(lo, hi)) => (*lo..=*hi).prop_map(Atom::Integer).boxed(),
        (AtomicType::Integer, _) => prop_oneof![any::<i64>(), -9i64..9].prop_map(Atom::Integer).boxed(),
        // Fifteen digits are what the text form keeps.
        (AtomicType::Real, _) => {
            prop_oneof![(-99_999i64..99_999).prop_map(|n| n as f64 / 64.0), Just(1e300), Just(-2.5e-9)]
                .prop_map(Atom::Real)
                .boxed()
        }
        (AtomicType::Boolean, _) => any::<bool>().prop_map(Atom::Boolean).boxed(),
        (AtomicType::String, Limits::Length(lo, hi)) => {
            vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), *lo as usize..=*hi as usize)
                .prop_map(|chars| Atom::string(&chars.into_iter().collect::<String>()))
                .boxed()
        }
        (AtomicType::String, _) => prop_oneof![
            "[ -~é\n\t]{0,12}",
            Just("true".to_owned()),
            Just("a-b.c_1".to_owned()),
            Just(Uuid(7).to_string())
        ]
        .prop_map(|s| Atom::string(&s))
        .boxed(),
        (AtomicType::Uuid, _) => any::<u128>().prop_map(|bits| Atom::Uuid(Uuid(bits))).boxed(),
    }
}

fn datum(kind: &ColumnType) -> BoxedStrategy<Datum> {
    let (min, max) = (kind.min as usize, kind.max.min(6) as usize);
    let least = move |d: &Datum| d.len() >= min;
    match &kind.value {
        Some(value) => vec((atom(&kind.key), atom(value)), min..=max)
            .prop_map(Datum::map)
            .prop_filter("size", least)
            .boxed(),
        None => vec(atom(&kind.key), min..=max).prop_map(Datum::set).prop_filter("size", least).boxed(),
    }
}

fn typed<const N: usize>() -> impl Strategy<Value = (ColumnType, [Datum; N])> {
    kind().prop_flat_map(|kind| {
        let data: [BoxedStrategy<Datum>; N] = std::array::from_fn(|_| datum(&kind));
        (Just(kind), data)
    })
}

proptest! {
    #[test]
    fn json_round_trip((kind, [datum]) in typed::<1>()) {
        let json = datum.to_json(&kind);
        prop_assert_eq!(Datum::from_json(&json, &kind, None).unwrap(), datum.clone());
        let text = json.to_string();
        let again = ovsdb::json::parse(format!("[{text}]").as_bytes()).unwrap();
        prop_assert_eq!(Datum::from_json(&again.as_array().unwrap()[0], &kind, None).unwrap(), datum);
    }

    #[test]
    fn text_round_trip((kind, [datum]) in typed::<1>()) {
        let text = datum.to_text(&kind);
        prop_assert_eq!(Datum::parse(&text, &kind, None), Ok(datum), "{}", text);
    }

    #[test]
    fn types_round_trip(kind in kind()) {
        prop_assert_eq!(ColumnType::from_json(&kind.to_json()).unwrap(), kind);
    }

    #[test]
    fn difference_leads_from_old_to_new((kind, [old, new]) in typed::<2>()) {
        let diff = old.diff(&new, &kind);
        prop_assert_eq!(old.apply_diff(&diff, &kind), new.clone());
        if kind.is_composite() && old == new {
            prop_assert!(diff.is_empty());
        }
    }

    #[test]
    fn union_and_subtraction_agree_with_includes((kind, [a, b]) in typed::<2>()) {
        let mut sum = a.clone();
        sum.union(&b);
        prop_assert!(sum.includes_all(&a));
        prop_assert!(b.keys().iter().all(|key| sum.find_key(key).is_some()));
        let mut rest = a.clone();
        rest.subtract(&b);
        prop_assert!(a.includes_all(&rest));
        prop_assert!(rest.excludes_all(&b));
        prop_assert_eq!(a.excludes_all(&b), rest == a);
        let _ = kind;
    }

    #[test]
    fn parsing_text_is_total(kind in kind(), text in "[ -~]{0,20}") {
        let _ = Datum::parse(&text, &kind, None);
    }
}
