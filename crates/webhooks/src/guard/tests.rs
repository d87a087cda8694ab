use proptest::prelude::*;

use super::*;

/// Forms under which something else than a public host may hide, with what is made of each by default.
const REFUSED: &[(&str, Forbidden)] = &[
    // Not a URL to post to.
    ("", Forbidden::Form),
    ("https", Forbidden::Form),
    ("https:", Forbidden::Form),
    ("https:/example.com/", Forbidden::Form),
    ("https:example.com", Forbidden::Form),
    ("//example.com/", Forbidden::Form),
    ("/hook", Forbidden::Form),
    ("example.com/hook", Forbidden::Form),
    ("https://", Forbidden::Form),
    ("https:///hook", Forbidden::OddHost),
    ("https://?x", Forbidden::Form),
    ("https://#x", Forbidden::Form),
    ("https://:443/", Forbidden::Form),
    ("https://exa mple.com/", Forbidden::Form),
    (" https://example.com/", Forbidden::Form),
    ("https://example.com/ ", Forbidden::Form),
    ("https://example.com/a b", Forbidden::Form),
    ("https://example.com/\nHost:x", Forbidden::Form),
    ("https://example.com\t/", Forbidden::Form),
    ("ht\ttps://example.com/", Forbidden::Form),
    ("https://example.com\0/", Forbidden::Form),
    ("https:\\\\example.com\\", Forbidden::Form),
    ("https://example.com\\@127.0.0.1/", Forbidden::Form),
    ("https://127.0.0.1\\.example.com/", Forbidden::Form),
    ("https://[::1/", Forbidden::Form),
    ("https://::1/", Forbidden::Form),
    ("https://[::1%25lo]/", Forbidden::Form),
    ("https://[fe80::1%eth0]/", Forbidden::Form),
    ("https://[v1.x]/", Forbidden::Form),
    ("https://example.com:99999/", Forbidden::Form),
    ("https://example.com:-1/", Forbidden::Form),
    ("https://example.com:4x3/", Forbidden::Form),
    ("https://example.com:443:80/", Forbidden::Form),
    // Other schemes.
    ("http://example.com/", Forbidden::Scheme),
    ("HTTP://example.com/", Forbidden::Scheme),
    ("ftp://example.com/", Forbidden::Scheme),
    ("file:///etc/passwd", Forbidden::Scheme),
    ("gopher://127.0.0.1:6379/_FLUSHALL", Forbidden::Scheme),
    ("dict://127.0.0.1:11211/", Forbidden::Scheme),
    ("ldap://127.0.0.1/", Forbidden::Scheme),
    ("unix:///run/docker.sock", Forbidden::Scheme),
    ("ws://example.com/", Forbidden::Scheme),
    ("jar:https://example.com!/", Forbidden::Scheme),
    ("javascript://example.com/%0aalert(1)", Forbidden::Scheme),
    ("httpss://example.com/", Forbidden::Scheme),
    ("x-https://example.com/", Forbidden::Scheme),
    // Names and passwords.
    ("https://user@example.com/", Forbidden::UserInfo),
    ("https://user:password@example.com/", Forbidden::UserInfo),
    ("https://@example.com/", Forbidden::UserInfo),
    ("https://example.com@127.0.0.1/", Forbidden::UserInfo),
    ("https://example.com:443@127.0.0.1/", Forbidden::UserInfo),
    ("https://127.0.0.1:80@example.com/", Forbidden::UserInfo),
    ("https://example.com%40127.0.0.1@10.0.0.1/", Forbidden::UserInfo),
    // Addresses in other spellings.
    ("https://2130706433/", Forbidden::OddHost),
    ("https://0x7f000001/", Forbidden::OddHost),
    ("https://0X7F000001/", Forbidden::OddHost),
    ("https://017700000001/", Forbidden::OddHost),
    ("https://0177.0.0.1/", Forbidden::OddHost),
    ("https://0x7f.0.0.1/", Forbidden::OddHost),
    ("https://0x7f.1/", Forbidden::OddHost),
    ("https://127.1/", Forbidden::OddHost),
    ("https://127.0.1/", Forbidden::OddHost),
    ("https://127.000.000.001/", Forbidden::OddHost),
    ("https://127.0.0.1./", Forbidden::OddHost),
    ("https://0/", Forbidden::OddHost),
    ("https://0x0/", Forbidden::OddHost),
    ("https://10.1/", Forbidden::OddHost),
    ("https://167772161/", Forbidden::OddHost),
    ("https://169.254.43518/", Forbidden::OddHost),
    ("https://2852039166/", Forbidden::OddHost),
    ("https://0xa9.0xfe.0xa9.0xfe/", Forbidden::OddHost),
    ("https://0251.0376.0251.0376/", Forbidden::OddHost),
    ("https://8.8.2056/", Forbidden::OddHost),
    ("https://134744072/", Forbidden::OddHost),
    ("https://%31%32%37.0.0.1/", Forbidden::OddHost),
    ("https://127.0.0.%31/", Forbidden::OddHost),
    ("https://exam%70le.com/", Forbidden::OddHost),
    ("https://256.0.0.1/", Forbidden::Form),
    ("https://127.0.0.1.0/", Forbidden::Form),
    ("https://1.2.3.4.5/", Forbidden::Form),
    ("https://4294967296/", Forbidden::Form),
    ("https://127.0.0.0x/", Forbidden::OddHost),
    ("https://[0:0:0:0:0:0:0:1]/", Forbidden::OddHost),
    ("https://[0000::0001]/", Forbidden::OddHost),
    ("https://[::ffff:127.0.0.1]/", Forbidden::OddHost),
    ("https://[::127.0.0.1]/", Forbidden::OddHost),
    ("https://[64:ff9b::127.0.0.1]/", Forbidden::OddHost),
    // Names in other spellings.
    ("https://example.com./", Forbidden::OddHost),
    ("https://localhost./", Forbidden::OddHost),
    ("https://①②⑦.0.0.1/", Forbidden::Form),
    ("https://127。0。0。1/", Forbidden::Form),
    ("https://ⓔxample.com/", Forbidden::Form),
    ("https://ｌocalhost/", Forbidden::Form),
    ("https://bücher.example/", Forbidden::Form),
    ("https://раypal.com/", Forbidden::Form),
    ("https://exa\u{ad}mple.com/", Forbidden::Form),
    ("https://exa\u{200d}mple.com/", Forbidden::Form),
    // Ports of others.
    ("https://example.com:22/", Forbidden::Port),
    ("https://example.com:25/", Forbidden::Port),
    ("https://example.com:53/", Forbidden::Port),
    ("https://example.com:0/", Forbidden::Port),
    ("https://example.com:1023/", Forbidden::Port),
    // Addresses that are not public.
    ("https://0.0.0.0/", Forbidden::Address),
    ("https://0.1.2.3/", Forbidden::Address),
    ("https://10.0.0.1/", Forbidden::Address),
    ("https://10.255.255.255/", Forbidden::Address),
    ("https://100.64.0.1/", Forbidden::Address),
    ("https://100.100.100.200/latest/meta-data/", Forbidden::Address),
    ("https://100.127.255.255/", Forbidden::Address),
    ("https://127.0.0.1/", Forbidden::Address),
    ("https://127.0.0.1:8080/", Forbidden::Address),
    ("https://127.255.255.254/", Forbidden::Address),
    ("https://169.254.169.254/latest/meta-data/", Forbidden::Address),
    ("https://172.16.0.1/", Forbidden::Address),
    ("https://172.31.255.255/", Forbidden::Address),
    ("https://192.0.0.1/", Forbidden::Address),
    ("https://192.0.0.192/", Forbidden::Address),
    ("https://192.0.2.1/", Forbidden::Address),
    ("https://192.88.99.1/", Forbidden::Address),
    ("https://192.168.0.1/", Forbidden::Address),
    ("https://198.18.0.1/", Forbidden::Address),
    ("https://198.19.255.255/", Forbidden::Address),
    ("https://198.51.100.1/", Forbidden::Address),
    ("https://203.0.113.1/", Forbidden::Address),
    ("https://224.0.0.1/", Forbidden::Address),
    ("https://239.255.255.255/", Forbidden::Address),
    ("https://240.0.0.1/", Forbidden::Address),
    ("https://255.255.255.255/", Forbidden::Address),
    ("https://[::]/", Forbidden::Address),
    ("https://[::1]/", Forbidden::Address),
    ("https://[::1]:8443/", Forbidden::Address),
    ("https://[::7f00:1]/", Forbidden::Address),
    ("https://[::ffff:7f00:1]/", Forbidden::Address),
    ("https://[::ffff:a00:1]/", Forbidden::Address),
    ("https://[::ffff:808:808]/", Forbidden::Address),
    ("https://[::ffff:0:7f00:1]/", Forbidden::Address),
    ("https://[64:ff9b::7f00:1]/", Forbidden::Address),
    ("https://[64:ff9b::808:808]/", Forbidden::Address),
    ("https://[64:ff9b:1::a00:1]/", Forbidden::Address),
    ("https://[100::1]/", Forbidden::Address),
    ("https://[2001::1]/", Forbidden::Address),
    ("https://[2001:0:7f00:1::]/", Forbidden::Address),
    ("https://[2001:2::1]/", Forbidden::Address),
    ("https://[2001:10::1]/", Forbidden::Address),
    ("https://[2001:20::1]/", Forbidden::Address),
    ("https://[2001:db8::1]/", Forbidden::Address),
    ("https://[2002:7f00:1::]/", Forbidden::Address),
    ("https://[2002:a00:1::1]/", Forbidden::Address),
    ("https://[2600::5efe:7f00:1]/", Forbidden::Address),
    ("https://[2600::200:5efe:a00:1]/", Forbidden::Address),
    ("https://[3fff::1]/", Forbidden::Address),
    ("https://[4000::1]/", Forbidden::Address),
    ("https://[5f00::1]/", Forbidden::Address),
    ("https://[fc00::1]/", Forbidden::Address),
    ("https://[fd00:ec2::254]/", Forbidden::Address),
    ("https://[fe80::1]/", Forbidden::Address),
    ("https://[febf::1]/", Forbidden::Address),
    ("https://[fec0::1]/", Forbidden::Address),
    ("https://[ff02::1]/", Forbidden::Address),
    ("https://[ff0e::1]/", Forbidden::Address),
];

/// Forms that may be tried. The addresses of the names among them are looked at when they are connected to.
const READ: &[(&str, &str)] = &[
    ("https://example.com", "https://example.com/"),
    ("HTTPS://Example.COM/Hook", "https://example.com/Hook"),
    ("https://example.com:443/hook?key=a%20b", "https://example.com/hook?key=a%20b"),
    ("https://example.com:8443/hook", "https://example.com:8443/hook"),
    ("https://example.com/hook#part", "https://example.com/hook"),
    ("https://example.com/a/../b", "https://example.com/b"),
    ("https://example.com/?to=https://10.0.0.1/", "https://example.com/?to=https://10.0.0.1/"),
    ("https://example.com/@here", "https://example.com/@here"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://8.8.8.8/", "https://8.8.8.8/"),
    ("https://100.63.255.255/", "https://100.63.255.255/"),
    ("https://172.32.0.1/", "https://172.32.0.1/"),
    ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ("https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
    ("https://localhost/", "https://localhost/"),
    ("https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/"),
];

#[test]
fn urls_that_lead_elsewhere_are_refused() {
    assert!(REFUSED.len() >= 120, "the table has {} forms", REFUSED.len());
    let wrong: Vec<String> = REFUSED
        .iter()
        .map(|(url, expected)| (url, Err(*expected), Guard::default().target(url)))
        .filter(|(_, expected, seen)| expected != seen)
        .map(|(url, expected, seen)| format!("{url:?}: {seen:?} instead of {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn plain_public_urls_are_read() {
    for (url, sent) in READ {
        let target = Guard::default().target(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(target.uri().to_string(), *sent, "{url}");
    }
}

#[test]
fn an_allowed_network_is_reached_and_no_other() {
    let guard = Guard {
        allow: vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()],
        allow_http: false,
    };
    assert!(guard.target("https://10.1.2.3/").is_ok());
    assert!(guard.target("https://[fd00:1::5]:9000/").is_ok());
    for other in ["https://10.2.0.1/", "https://[fd00:2::5]/", "https://[::ffff:a01:203]/"] {
        assert_eq!(guard.target(other), Err(Forbidden::Address), "{other}");
    }
    assert_eq!(guard.target("http://10.1.2.3/"), Err(Forbidden::Scheme));
}

#[test]
fn plain_http_is_for_those_who_allow_it() {
    let guard = Guard { allow_http: true, ..Guard::default() };
    assert_eq!(guard.target("http://example.com/").unwrap().uri().to_string(), "http://example.com/");
    assert_eq!(guard.target("http://127.0.0.1/"), Err(Forbidden::Address));
    assert_eq!(guard.target("ftp://example.com/"), Err(Forbidden::Scheme));
}

#[test]
fn a_target_prints_itself_without_its_path() {
    let target = Guard::default().target("https://example.com:8443/secret?token=1").unwrap();
    assert_eq!(target.to_string(), "https://example.com:8443");
}

/// Text that is nearly a URL: what a fuzzer would find first.
fn nearly_urls() -> impl Strategy<Value = String> {
    let scheme =
        prop_oneof![8 => Just("https://"), 1 => Just("http://"), 1 => Just("https:/"), 1 => Just("")];
    let host = prop_oneof![
        any::<u32>().prop_map(|n| Ipv4Addr::from(n).to_string()),
        any::<u128>().prop_map(|n| format!("[{}]", Ipv6Addr::from(n))),
        any::<u32>().prop_map(|n| n.to_string()),
        any::<u32>().prop_map(|n| format!("{n:#x}")),
        any::<u32>().prop_map(|n| format!("0{n:o}")),
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a:#x}.{b}.0{c:o}.{d}")),
        any::<u32>().prop_map(|n| format!("[::ffff:{}]", Ipv4Addr::from(n))),
        "[a-zA-Z0-9.%:@\\[\\]-]{0,24}",
        "\\PC{0,12}",
    ];
    let rest = prop_oneof![Just(String::new()), "(:[0-9]{0,6})?[/?#@][ -~]{0,12}", "\\PC{0,8}"];
    (scheme, host, rest).prop_map(|(scheme, host, rest)| format!("{scheme}{host}{rest}"))
}

proptest! {
    #[test]
    fn a_target_never_names_an_address_that_is_not_public(text in nearly_urls()) {
        let guard = Guard { allow_http: true, ..Guard::default() };
        if let Ok(target) = guard.target(&text) {
            let uri = target.uri();
            prop_assert!(matches!(uri.scheme_str(), Some("http" | "https")));
            let host = uri.host().unwrap();
            prop_assert!(!uri.authority().unwrap().as_str().contains('@'));
            // As the connector will read it, and as the resolver of the system would.
            if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
                prop_assert!(is_public(address), "{host}");
            }
            prop_assert!(!host.bytes().all(|b| b.is_ascii_digit()), "{host} is a number");
            let hex = host.strip_prefix("0x").unwrap_or(".");
            prop_assert!(!hex.bytes().all(|b| b.is_ascii_hexdigit()), "{host} is a number");
        }
    }
}
