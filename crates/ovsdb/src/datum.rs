//! Datums: the value of one column in one row, an ordered set or map of atoms.
//!
//! Where it sits: rows are made of them; conditions and mutations work on them; monitors send their differences.
//!
//! I1  Keys are sorted and unique. `values` is as long as `keys` in a map and empty otherwise.
//! I2  A datum does not know its type: the empty set and the empty map are equal. Whoever prints, reads or checks one passes the type.
//! I3  Atoms never change in place and are shared, so copying a datum is cheap, and comparing copies looks at no atom.
//!
//! Spec: RFC 7047 section 5.1 `<value>`, ovsdb-server(7) section 4.1.14 (differences).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::atom::{Atom, Names, tagged};
use crate::column_type::ColumnType;
use crate::error::{Error, Result};
use crate::json::Json;

/// A set or a map.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Datum(Form);

/// One value has one form.
#[derive(Clone, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Empty,
    /// A set of one.
    One(Atom),
    /// Two elements or more.
    Set(Arc<[Atom]>),
    /// One pair or more: all keys, then all values.
    Map(Arc<[Atom]>),
}

const _: () = assert!(size_of::<Datum>() == 24);

impl Datum {
    /// The set of one atom: what a scalar column holds.
    pub fn scalar(atom: impl Into<Atom>) -> Datum {
        Datum(Form::One(atom.into()))
    }

    /// A set; duplicates are dropped.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Datum {
        let mut keys: Vec<Atom> = atoms.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Datum::of_sorted(keys, Vec::new())
    }

    /// A map; of pairs with the same key the first one counts.
    pub fn map(pairs: impl IntoIterator<Item = (Atom, Atom)>) -> Datum {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        let mut atoms = Vec::with_capacity(2 * pairs.len());
        let values: Vec<Atom> = pairs
            .into_iter()
            .map(|(key, value)| {
                atoms.push(key);
                value
            })
            .collect();
        Datum::of_sorted(atoms, values)
    }

    /// A datum of what keeps I1.
    fn of_sorted(mut keys: Vec<Atom>, values: Vec<Atom>) -> Datum {
        Datum(match (keys.len(), values.is_empty()) {
            (0, _) => Form::Empty,
            (1, true) => keys.pop().map(Form::One).unwrap_or_default(),
            (_, true) => Form::Set(keys.into()),
            (_, false) => {
                keys.extend(values);
                Form::Map(keys.into())
            }
        })
    }

    /// A map of strings.
    pub fn string_map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Datum {
        Datum::map(pairs.into_iter().map(|(k, v)| (Atom::string(k.as_ref()), Atom::string(v.as_ref()))))
    }

    /// What a column of this type holds when nobody set it.
    pub fn default_for(kind: &ColumnType) -> Datum {
        if kind.min == 0 {
            return Datum::default();
        }
        let values = kind.value.iter().map(|v| v.kind.default_atom());
        Datum::of_sorted(vec![kind.key.kind.default_atom()], values.collect())
    }

    /// Whether this is what a column of this type holds when nobody set it.
    pub fn is_default(&self, kind: &ColumnType) -> bool {
        self.len() == kind.min as usize && self.atoms().all(Atom::is_default)
    }

    /// The number of elements or pairs.
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Form::Empty)
    }

    /// The elements of a set, or the keys of a map, in order.
    pub fn keys(&self) -> &[Atom] {
        match &self.0 {
            Form::Empty => &[],
            Form::One(atom) => std::slice::from_ref(atom),
            Form::Set(atoms) => atoms,
            Form::Map(atoms) => &atoms[..atoms.len() / 2],
        }
    }

    /// The values of a map, in the order of its keys; empty for a set.
    pub fn values(&self) -> &[Atom] {
        match &self.0 {
            Form::Map(atoms) => &atoms[atoms.len() / 2..],
            _ => &[],
        }
    }

    /// The pairs of a map.
    pub fn pairs(&self) -> impl Iterator<Item = (&Atom, &Atom)> {
        self.keys().iter().zip(self.values())
    }

    /// Every atom, keys first.
    pub fn atoms(&self) -> impl Iterator<Item = &Atom> {
        self.keys().iter().chain(self.values())
    }

    /// The only element.
    pub fn single(&self) -> Option<&Atom> {
        if let [atom] = self.keys() { Some(atom) } else { None }
    }

    /// Where `key` is.
    pub fn find_key(&self, key: &Atom) -> Option<usize> {
        self.keys().binary_search(key).ok()
    }

    /// The value of `key` in a map.
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        self.values().get(self.find_key(key)?)
    }

    /// The value of a string key in a map of strings.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(&Atom::string(key))?.as_str()
    }

    /// Sets `key` (to `value`, in a map).
    pub fn insert(&mut self, key: Atom, value: Option<Atom>) {
        let (keys, values) = (self.keys(), self.values());
        let (at, after) = match keys.binary_search(&key) {
            Ok(at) => (at, at + 1),
            Err(at) => (at, at),
        };
        let with =
            |atoms: &[Atom], atom: Atom| -> Vec<Atom> { [&atoms[..at], &[atom], &atoms[after..]].concat() };
        *self = match value {
            Some(value) => Datum::of_sorted(with(keys, key), with(values, value)),
            None if after > at => return,
            None => Datum::of_sorted(with(keys, key), Vec::new()),
        };
    }

    /// Takes `key` out. Says whether it was there.
    pub fn remove(&mut self, key: &Atom) -> bool {
        let Some(at) = self.find_key(key) else { return false };
        let without = |atoms: &[Atom]| match atoms.is_empty() {
            true => Vec::new(),
            false => [&atoms[..at], &atoms[at + 1..]].concat(),
        };
        *self = Datum::of_sorted(without(self.keys()), without(self.values()));
        true
    }

    /// Keeps the elements that `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&Atom, Option<&Atom>) -> bool) {
        let kept: Vec<_> = self.elements().filter(|(key, value)| keep(key, *value)).collect();
        if kept.len() < self.len() {
            let keys = kept.iter().map(|(key, _)| (*key).clone()).collect();
            *self =
                Datum::of_sorted(keys, kept.into_iter().filter_map(|(_, value)| value.cloned()).collect());
        }
    }

    /// Whether `self` has every element (pair) of `other`.
    pub fn includes_all(&self, other: &Datum) -> bool {
        other.elements().all(|(key, value)| self.has(key, value))
    }

    /// Whether `self` has no element (pair) of `other`.
    pub fn excludes_all(&self, other: &Datum) -> bool {
        other.elements().all(|(key, value)| !self.has(key, value))
    }

    /// Adds the elements of `other` whose keys are not here yet.
    pub fn union(&mut self, other: &Datum) {
        if let (Some((key, value)), 1) = (other.elements().next(), other.len()) {
            if self.find_key(key).is_none() {
                self.insert(key.clone(), value.cloned());
            }
            return;
        }
        *self = merge(self.elements(), other.elements(), |a, b| a.or(b));
    }

    /// Takes out the elements of `other`: of a map, the pairs that are equal, or the keys if `other` is a set.
    pub fn subtract(&mut self, other: &Datum) {
        if other.len() == 1 {
            if self.has(&other.keys()[0], other.values().first()) {
                self.remove(&other.keys()[0]);
            }
            return;
        }
        self.retain(|key, value| match other.find_key(key) {
            Some(at) => value.is_some() && other.values().get(at).is_some_and(|v| Some(v) != value),
            None => true,
        });
    }

    /// What must be applied to `self` to get `new`: for scalars and optional scalars `new` itself, otherwise the elements that
    /// only one of them has; of a map whose key has different values in both, the new pair.
    pub fn diff(&self, new: &Datum, kind: &ColumnType) -> Datum {
        if !kind.is_composite() {
            return new.clone();
        }
        let (old, new) = self.different(new);
        merge(old, new, |a, b| if a == b { None } else { b.or(a) })
    }

    /// The elements that only `self` has, and those that only `new` has.
    pub fn changes(&self, new: &Datum) -> (Datum, Datum) {
        let (old, new) = self.different(new);
        (
            merge(old.clone(), new.clone(), |a, b| if a == b { None } else { a }),
            merge(old, new, |a, b| if a == b { None } else { b }),
        )
    }

    /// The elements of both, without those at either end that are equal: a change of few is found by comparing only.
    fn different<'a>(
        &'a self,
        new: &'a Datum,
    ) -> (impl Iterator<Item = Element<'a>> + Clone, impl Iterator<Item = Element<'a>> + Clone) {
        let same = |i: usize, j: usize| {
            self.keys()[i] == new.keys()[j] && self.values().get(i) == new.values().get(j)
        };
        let (n, m) = (self.len(), new.len());
        let prefix = (0..n.min(m)).take_while(|&i| same(i, i)).count();
        let suffix = (1..=n.min(m) - prefix).take_while(|&i| same(n - i, m - i)).count();
        (self.elements_in(prefix..n - suffix), new.elements_in(prefix..m - suffix))
    }

    /// The inverse of `diff`.
    pub fn apply_diff(&self, diff: &Datum, kind: &ColumnType) -> Datum {
        if !kind.is_composite() {
            return diff.clone();
        }
        if let Some((key, value)) = diff.elements().next().filter(|_| diff.len() == 1) {
            let mut out = self.clone();
            if out.has(key, value) {
                out.remove(key);
            } else {
                out.insert(key.clone(), value.cloned());
            }
            return out;
        }
        merge(self.elements(), diff.elements(), |a, b| if a == b { None } else { b.or(a) })
    }

    /// Elements, or pairs with their values.
    pub fn elements(&self) -> impl Iterator<Item = Element<'_>> + Clone {
        self.elements_in(0..self.len())
    }

    fn elements_in(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = Element<'_>> + Clone {
        let (keys, values) = (&self.keys()[range.clone()], self.values());
        keys.iter().zip(range).map(move |(key, i)| (key, values.get(i)))
    }

    fn has(&self, key: &Atom, value: Option<&Atom>) -> bool {
        self.find_key(key).is_some_and(|at| match (self.values().get(at), value) {
            (Some(mine), Some(value)) => mine == value,
            _ => true,
        })
    }

    /// Reads a value of type `kind` and checks the constraints.
    pub fn from_json(json: &Json, kind: &ColumnType, names: Option<&mut (dyn Names + '_)>) -> Result<Datum> {
        let Some((class, elements)) = unwrap(json, kind)? else {
            return Atom::from_json(json, &kind.key, names).map(Datum::scalar);
        };
        let n = elements.len();
        if n < kind.min as usize || n > kind.max as usize {
            let details = if kind.min == 1 && kind.max == 1 {
                format!("{class} must have exactly one member but {n} are present")
            } else {
                format!("{class} must have {} to {} members but {n} are present", kind.min, kind.max)
            };
            return Err(Error::syntax(json, details));
        }
        let datum = read_elements(elements, kind, names)?;
        if datum.len() < n {
            return Err(Error::new(
                "ovsdb error",
                if kind.is_map() { "map contains duplicate key" } else { "set contains duplicate" },
            ));
        }
        Ok(datum)
    }

    /// Reads a value of type `kind` without its limits on the number of elements.
    pub fn from_json_any_size(
        json: &Json,
        kind: &ColumnType,
        names: Option<&mut (dyn Names + '_)>,
    ) -> Result<Datum> {
        let relaxed = ColumnType { min: 0, max: u32::MAX, ..kind.clone() };
        Datum::from_json(json, &relaxed, names)
    }

    /// The JSON form: a bare atom for a set of one, else `["set", …]` or `["map", …]`.
    pub fn to_json(&self, kind: &ColumnType) -> Json {
        if kind.is_map() {
            let pairs = self.pairs().map(|(k, v)| Json::Array(vec![k.to_json(), v.to_json()])).collect();
            return Json::Array(vec![Json::string("map"), Json::Array(pairs)]);
        }
        match self.keys() {
            [atom] => atom.to_json(),
            atoms => {
                Json::Array(vec![Json::string("set"), Json::Array(atoms.iter().map(Atom::to_json).collect())])
            }
        }
    }

    /// Appends the text of the JSON form to `out`.
    pub fn write_json(&self, kind: &ColumnType, out: &mut String) {
        if let (false, [atom]) = (kind.is_map(), self.keys()) {
            return atom.write_json(out);
        }
        out.push_str(if kind.is_map() { "[\"map\",[" } else { "[\"set\",[" });
        for (i, (key, value)) in self.elements().enumerate() {
            if i > 0 {
                out.push(',');
            }
            let Some(value) = value else {
                key.write_json(out);
                continue;
            };
            out.push('[');
            key.write_json(out);
            out.push(',');
            value.write_json(out);
            out.push(']');
        }
        out.push_str("]]");
    }

    /// Checks every atom against the constraints of `kind`.
    pub fn check(&self, kind: &ColumnType) -> Result<()> {
        self.keys().iter().try_for_each(|key| kind.key.check(key))?;
        match &kind.value {
            Some(base) => self.values().iter().try_for_each(|value| base.check(value)),
            None => Ok(()),
        }
    }
}

/// An element of a set, or a key of a map and its value.
pub type Element<'a> = (&'a Atom, Option<&'a Atom>);

/// Merges in key order; `pick` sees the element of each side and says what there is to be.
fn merge<'a>(
    a: impl Iterator<Item = Element<'a>>,
    b: impl Iterator<Item = Element<'a>>,
    pick: impl Fn(Option<Element<'a>>, Option<Element<'a>>) -> Option<Element<'a>>,
) -> Datum {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let (mut a, mut b) = (a.peekable(), b.peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => x.0.cmp(y.0),
        };
        let left = if order.is_le() { a.next() } else { None };
        let right = if order.is_ge() { b.next() } else { None };
        if let Some((key, value)) = pick(left, right) {
            keys.push(key.clone());
            values.extend(value.cloned());
        }
    }
    Datum::of_sorted(keys, values)
}

impl PartialOrd for Datum {
    fn partial_cmp(&self, other: &Datum) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Datum {
    fn cmp(&self, other: &Datum) -> Ordering {
        (self.keys(), self.values()).cmp(&(other.keys(), other.values()))
    }
}

impl Hash for Datum {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.keys(), self.values()).hash(state);
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.values() {
            [] => f.debug_set().entries(self.keys()).finish(),
            _ => f.debug_map().entries(self.pairs()).finish(),
        }
    }
}

/// The elements of `["set", […]]` or `["map", […]]`; nothing for a bare atom.
fn unwrap<'a>(json: &'a Json, kind: &ColumnType) -> Result<Option<(&'static str, &'a [Json])>> {
    let class = if kind.is_map() { "map" } else { "set" };
    let first = json.as_array().and_then(|a| a.first()).and_then(Json::as_str);
    if !kind.is_map() && first != Some("set") {
        return Ok(None);
    }
    match tagged(json, class).and_then(Json::as_array) {
        Some(elements) => Ok(Some((class, elements))),
        None => Err(Error::syntax(json, format!("expected [\"{class}\", <array>]"))),
    }
}

fn read_elements(
    elements: &[Json],
    kind: &ColumnType,
    mut names: Option<&mut (dyn Names + '_)>,
) -> Result<Datum> {
    let Some(value_type) = &kind.value else {
        let mut keys = Vec::with_capacity(elements.len());
        for element in elements {
            keys.push(Atom::from_json(element, &kind.key, names.as_deref_mut())?);
        }
        return Ok(Datum::set(keys));
    };
    let mut pairs = Vec::with_capacity(elements.len());
    for element in elements {
        let Some([key, value]) = element.as_array() else {
            return Err(Error::syntax(element, "expected 2-element array"));
        };
        let key = Atom::from_json(key, &kind.key, names.as_deref_mut())?;
        pairs.push((key, Atom::from_json(value, value_type, names.as_deref_mut())?));
    }
    Ok(Datum::map(pairs))
}

impl AsRef<Datum> for Datum {
    fn as_ref(&self) -> &Datum {
        self
    }
}
