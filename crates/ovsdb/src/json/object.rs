//! The members of a JSON object.
//!
//! Where it sits: inside `Json`. Nearly all objects of the protocol are small, so this is a sorted list, not a tree.
//!
//! I1  Names are sorted and unique. Of members with one name the last one counts.
//! I2  Collecting costs one sort, whatever the order; `insert` out of order moves what comes behind, so large objects are collected.

use super::value::Json;
use smol_str::SmolStr;

/// Members of an object, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(SmolStr, Json)>);

impl Object {
    /// No members.
    pub const fn new() -> Object {
        Object(Vec::new())
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Most objects have so few members that looking at each is faster than halving.
        if self.0.len() <= 8 {
            let at = self.0.iter().position(|(known, _)| known.as_bytes() >= name.as_bytes());
            let at = at.unwrap_or(self.0.len());
            let found = self.0.get(at).is_some_and(|(known, _)| known.as_bytes() == name.as_bytes());
            return if found { Ok(at) } else { Err(at) };
        }
        self.0.binary_search_by(|(known, _)| known.as_bytes().cmp(name.as_bytes()))
    }

    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Json> {
        Some(&self.0.get(self.find(name).ok()?)?.1)
    }

    /// Whether there is a member `name`.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets a member; gives the value that it had.
    pub fn insert(&mut self, name: impl Into<SmolStr>, value: Json) -> Option<Json> {
        let name = name.into();
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.0.push((name, value));
            return None;
        }
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let at = self.find(name).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the members that `keep` accepts.
    pub fn retain(&mut self, mut keep: impl FnMut(&SmolStr, &mut Json) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }

    /// Names and values, in the order of names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&SmolStr, &Json)> + ExactSizeIterator + Clone {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &SmolStr> + ExactSizeIterator + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values, in the order of names.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Json> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The names, taken.
    pub fn into_keys(self) -> impl Iterator<Item = SmolStr> {
        self.0.into_iter().map(|(name, _)| name)
    }
}

impl<K: Into<SmolStr>> FromIterator<(K, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Json)>>(members: I) -> Object {
        let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
        if !members.is_sorted_by(|(a, _), (b, _)| a < b) {
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            members.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Object(members)
    }
}

impl<K: Into<SmolStr>, const N: usize> From<[(K, Json); N]> for Object {
    fn from(members: [(K, Json); N]) -> Object {
        members.into_iter().collect()
    }
}

impl IntoIterator for Object {
    type Item = (SmolStr, Json);
    type IntoIter = std::vec::IntoIter<(SmolStr, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Object {
    type Item = (&'a SmolStr, &'a Json);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (SmolStr, Json)>,
        fn(&'a (SmolStr, Json)) -> (&'a SmolStr, &'a Json),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the order of insertion, and however it is made, it is the same object; the last of equal names counts.
    #[test]
    fn order_does_not_matter() {
        let names = ["m", "b", "z", "a", "m", "name that is too long for its place", "q", "b", "k", "l", "x"];
        let members = || names.iter().zip(0i64..).map(|(name, n)| (*name, Json::Integer(n)));
        let collected: Object = members().collect();
        let mut inserted = Object::new();
        for (name, value) in members() {
            inserted.insert(name, value);
        }
        assert_eq!(collected, inserted);
        assert!(collected.keys().is_sorted());
        assert_eq!(collected.len(), 9);
        for (name, n) in [("m", 4), ("b", 7), ("a", 3), ("name that is too long for its place", 5)] {
            assert_eq!(collected.get(name), Some(&Json::Integer(n)), "{name}");
        }
        assert_eq!((inserted.remove("m"), inserted.remove("m")), (Some(Json::Integer(4)), None));
        assert!(!inserted.contains_key("m") && inserted.contains_key("z"));
    }
}
