use super::*;
use crate::Names;

fn check(text: &str, printed: &str) {
    let (mut m, _) = parse(text, &Names::none()).unwrap_or_else(|e| panic!("{text}: {e}"));
    normalize(&mut m);
    assert_eq!(format(&m, 0x8000, &Names::none()), printed, "{text}");
    let (again, _) = parse(printed, &Names::none()).unwrap();
    assert_eq!(again, m, "{printed}");
    for version in [Version::V12, Version::V13, Version::V15] {
        let mut bytes = Vec::new();
        encode(&m, version, &mut bytes);
        let (decoded, len) = decode(&bytes, version, Strictness::Strict).unwrap();
        assert_eq!((decoded, len), (m, bytes.len()), "{text} {version}");
    }
    let mut bytes = Vec::new();
    let len = encode_nxm(&m, CookieMatch::default(), &mut bytes);
    assert_eq!(decode_nxm(&bytes[..len], Strictness::Strict).unwrap().0, m, "{text}");
    let usable = usable_protocols(&m);
    if usable.contains(Protocols::OF10_STD) {
        assert_eq!(decode_of10(&encode_of10(&m)), m, "{text}");
    }
    if usable.contains(Protocols::OF11_STD) {
        let mut bytes = Vec::new();
        encode(&m, Version::V11, &mut bytes);
        assert_eq!(decode(&bytes, Version::V11, Strictness::Strict).unwrap(), (m, 88), "{text}");
    }
}

#[test]
fn texts_and_bytes_round_trip() {
    check("tcp,nw_src=10.0.0.0/8,tp_dst=80", "tcp,nw_src=10.0.0.0/8,tp_dst=80");
    check("ct_state=+trk-new,ct_zone=5", "ct_state=-new+trk,ct_zone=5");
    check("in_port=LOCAL,dl_vlan=3", "in_port=LOCAL,dl_vlan=3");
    check("arp,arp_op=1,arp_spa=1.2.3.4", "arp,arp_spa=1.2.3.4,arp_op=1");
    check(
        "icmp6,icmpv6_type=135,icmpv6_code=0,nd_target=::1",
        "icmp6,icmp_type=135,icmp_code=0,nd_target=::1",
    );
    check("reg0=5/7,xreg1=3,metadata=0xffff", "reg0=0x5/0x7,reg2=0,reg3=0x3,metadata=0xffff");
    check("packet_type=(1,0x800),nw_src=1.2.3.4", "packet_type=(1,0x800),nw_src=1.2.3.4");
    check("tp_src=5", "");
}
