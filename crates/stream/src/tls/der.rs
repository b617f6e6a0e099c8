//! The few fields of a certificate that the library does not give: issuer, subject, and the name in the subject.
//!
//! Where it sits: bootstrapping asks whether a certificate is self-signed; roles ask for a peer's name. The library has judged the
//! certificate before.
//!
//! ~~~text
//! Certificate ::= { tbs { [0] version?, serial, algorithm, issuer, validity, subject, … }, … }        (RFC 5280, 4.1)
//! ~~~
//! I1  Total over bytes: what is no certificate has no fields.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
/// 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Issuer and subject, as they are encoded.
pub(super) struct Names<'a> {
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
}

/// The value of the next element, its tag, and what follows it.
fn element(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = data.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

fn expect(data: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = element(data)?;
    (found == tag).then_some((value, rest))
}

/// The names in a certificate.
pub(super) fn names(certificate: &[u8]) -> Option<Names<'_>> {
    let (body, _) = expect(certificate, SEQUENCE)?;
    let (mut rest, _) = expect(body, SEQUENCE)?;
    if let Some((_, after)) = expect(rest, VERSION) {
        rest = after;
    }
    let (_, _, rest) = element(rest)?;
    let (_, rest) = expect(rest, SEQUENCE)?;
    let (issuer, rest) = expect(rest, SEQUENCE)?;
    let (_, rest) = expect(rest, SEQUENCE)?;
    let (subject, _) = expect(rest, SEQUENCE)?;
    Some(Names { issuer, subject })
}

/// The first common name in a subject.
pub(super) fn common_name(subject: &[u8]) -> Option<String> {
    let mut rest = subject;
    while let Some((mut set, after)) = expect(rest, SET) {
        rest = after;
        while let Some((pair, next)) = expect(set, SEQUENCE) {
            set = next;
            if let Some((COMMON_NAME, value)) = expect(pair, OBJECT_ID) {
                let (_, text, _) = element(value)?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut out = vec![tag];
        match value.len() {
            n @ 0..=0x7f => out.push(n as u8),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(value);
        out
    }

    fn name(text: &str) -> Vec<u8> {
        let country = tlv(SEQUENCE, &[&tlv(OBJECT_ID, &[&[0x55, 4, 6]]), &tlv(0x13, &[b"US"])]);
        let common = tlv(SEQUENCE, &[&tlv(OBJECT_ID, &[COMMON_NAME]), &tlv(0x0c, &[text.as_bytes()])]);
        tlv(SEQUENCE, &[&tlv(SET, &[&country]), &tlv(SET, &[&common])])
    }

    proptest! {
        #[test]
        fn fields_of_certificates(issuer in ".{0,200}", subject in ".{0,200}", versioned: bool) {
            let version = if versioned { tlv(VERSION, &[&[2, 1, 2]]) } else { Vec::new() };
            let (issuer_der, subject_der) = (name(&issuer), name(&subject));
            let empty = tlv(SEQUENCE, &[]);
            let body = tlv(SEQUENCE, &[&version, &[2, 1, 7], &empty, &issuer_der, &empty, &subject_der, &empty]);
            let der = tlv(SEQUENCE, &[&body, &empty]);
            let names = names(&der).unwrap();
            prop_assert_eq!(names.issuer == names.subject, issuer == subject);
            prop_assert_eq!(common_name(names.subject), Some(subject));
        }

        #[test]
        fn any_bytes(data: Vec<u8>) {
            if let Some(names) = names(&data) {
                common_name(names.subject);
            }
        }
    }
}
