//! Reading is total; what is written reads back; known bytes of the kernel.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A tree of attributes.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(u16, Vec<u8>),
    Nest(u16, Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (0u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, p)| Tree::Leaf(k, p));
    leaf.prop_recursive(3, 20, 5, |inner| {
        (0u16..0x3fff, prop::collection::vec(inner, 0..5)).prop_map(|(k, c)| Tree::Nest(k, c))
    })
}

fn write(b: &mut Builder, trees: &[Tree]) {
    for t in trees {
        match t {
            Tree::Leaf(kind, payload) => b.put(*kind, payload),
            Tree::Nest(kind, children) => {
                let nest = b.begin_nest(*kind);
                write(b, children);
                b.end_nest(nest);
            }
        }
    }
}

fn assert_reads_back(attrs: Attrs<'_>, trees: &[Tree]) {
    let got: Vec<Attr<'_>> = attrs.map(Result::unwrap).collect();
    assert_eq!(got.len(), trees.len());
    for (attr, tree) in got.iter().zip(trees) {
        match tree {
            Tree::Leaf(kind, payload) => assert_eq!((attr.kind, attr.payload), (*kind, &payload[..])),
            Tree::Nest(kind, children) => {
                assert_eq!(attr.kind, *kind);
                assert_reads_back(attr.nested(), children);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        messages in prop::collection::vec((16u16.., any::<u32>(), prop::collection::vec(tree(), 0..5)), 1..4)
    ) {
        let mut b = Builder::new();
        for (kind, seq, trees) in &messages {
            let header = Header { kind: *kind, flags: flags::REQUEST, seq: *seq, pid: 7 };
            b.begin(&header, &GenlHeader { command: 3, version: 1 }.emit());
            write(&mut b, trees);
        }
        let bytes = b.finish().unwrap();
        let read: Vec<Message<'_>> = Messages::new(&bytes).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), messages.len());
        for (m, (kind, seq, trees)) in read.iter().zip(&messages) {
            prop_assert_eq!((m.header.kind, m.header.seq, m.header.pid), (*kind, *seq, 7));
            let (genl, attrs) = GenlHeader::split_attrs(m.payload).unwrap();
            prop_assert_eq!(genl, GenlHeader { command: 3, version: 1 });
            assert_reads_back(attrs, trees);
        }
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), len in 0u32..64) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_chunk_mut::<4>() {
            *first = len.to_ne_bytes();
        }
        let messages = Messages::new(&bytes).count();
        prop_assert!(messages <= bytes.len() / HEADER_LEN + 1);
        for m in Messages::new(&bytes).map_while(Result::ok) {
            let _ = m.error();
            prop_assert!(Attrs::new(m.payload).count() <= m.payload.len() / 4 + 1);
        }
    }
}

#[test]
#[cfg(target_endian = "little")]
fn bytes_are_the_kernels() {
    let mut b = Builder::new();
    b.begin(&Header { kind: 18, flags: flags::REQUEST | flags::DUMP, seq: 5, pid: 0 }, &[]);
    b.put_str(3, "lo");
    b.put_u32(4, 65536);
    let expect = [
        32, 0, 0, 0, 18, 0, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, // header
        7, 0, 3, 0, b'l', b'o', 0, 0, // name, padded
        8, 0, 4, 0, 0, 0, 1, 0,
    ];
    assert_eq!(b.finish().unwrap(), expect);
}

#[test]
fn an_error_and_its_explanation_are_found() {
    let request = {
        let mut b = Builder::new();
        b.begin(&Header { kind: 20, ..Header::default() }, &[1, 2, 3, 4]);
        b.finish().unwrap()
    };
    let reply = |capped: bool| {
        let mut b = Builder::new();
        let kept = if capped { &request[..HEADER_LEN] } else { &request[..] };
        let header = Header {
            kind: kinds::ERROR,
            flags: flags::ACK_TLVS | if capped { flags::CAPPED } else { 0 },
            ..Header::default()
        };
        b.begin(&header, &[&(-19i32).to_ne_bytes()[..], kept].concat());
        b.put_str(1, "no such link");
        b.finish().unwrap()
    };
    for capped in [true, false] {
        let bytes = reply(capped);
        let m = Messages::new(&bytes).next().unwrap().unwrap();
        assert_eq!(m.error(), Some(ErrorReply { errno: 19, text: Some("no such link") }));
    }
}

#[test]
fn a_payload_that_its_length_cannot_hold_fails() {
    let mut b = Builder::new();
    b.begin(&Header::default(), &[]);
    b.put(1, &[0; 70_000]);
    b.put_u8(2, 1);
    assert_eq!(b.finish(), None);
}

#[test]
fn the_last_of_a_type_counts() {
    let mut b = Builder::new();
    b.begin(&Header::default(), &[]);
    b.put_u8(1, 1);
    b.put_u8(1, 2);
    let bytes = b.finish().unwrap();
    let m = Messages::new(&bytes).next().unwrap().unwrap();
    assert_eq!(Attrs::new(m.payload).find(1).and_then(Attr::u8), Some(2));
    assert_eq!(Attrs::new(m.payload).find(9), None);
}
