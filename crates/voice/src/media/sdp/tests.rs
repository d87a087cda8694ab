use proptest::prelude::*;

use super::*;

fn parse(lines: &[&str]) -> Result<Sdp, Unreadable> {
    Sdp::parse(format!("{}\r\n", lines.join("\r\n")).as_bytes())
}

fn audio(lines: &[&str]) -> Media {
    let head =
        ["v=0", "o=alice 2890844526 2890844527 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0"];
    parse(&[&head, lines].concat()).unwrap().media.remove(0)
}

#[test]
fn a_medium_without_a_format_that_we_know_is_written_as_one() {
    let read =
        parse(&["v=0", "c=IN IP4 192.0.2.9", "m=audio 20000 RTP/AVP 98", "a=rtpmap:98 x/8000"]).unwrap();
    assert!(read.media[0].formats.is_empty());

    assert_eq!(Sdp::parse(read.to_string().as_bytes()), Ok(read));
}

#[test]
fn our_text_is_known_to_the_letter() {
    let at: SocketAddr = "203.0.113.5:40000".parse().unwrap();
    let media = Media {
        kind: Kind::Audio,
        profile: Profile::Secure,
        at,
        rtcp: "203.0.113.5:40001".parse().unwrap(),
        mux: false,
        formats: vec![
            Format { payload_type: 8, meaning: Meaning::Sound(Codec::Pcma) },
            Format { payload_type: 107, meaning: Meaning::Sound(Codec::Opus) },
            Format { payload_type: 101, meaning: Meaning::Events(8000) },
        ],
        direction: Direction::Receives,
        ptime: Some(20),
        keys: vec![Key { tag: 1, material: [7; 30] }],
    };
    let nowhere = SocketAddr::new(at.ip(), 0);
    let video = Media {
        kind: Kind::Video,
        profile: Profile::Plain,
        at: nowhere,
        rtcp: nowhere,
        formats: Vec::new(),
        keys: Vec::new(),
        ..media.clone()
    };
    let sdp = Sdp { id: 77, version: 2, media: vec![media, video] };

    let expected = "v=0\r\n\
        o=- 77 2 IN IP4 203.0.113.5\r\n\
        s=-\r\n\
        c=IN IP4 203.0.113.5\r\n\
        t=0 0\r\n\
        m=audio 40000 RTP/SAVP 8 107 101\r\n\
        a=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:107 opus/48000/2\r\n\
        a=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\n\
        a=ptime:20\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\r\n\
        a=recvonly\r\n\
        m=video 0 RTP/AVP 0\r\n";
    assert_eq!(sdp.to_string(), expected);
}

#[test]
fn a_telephones_offer_is_read() {
    let media = audio(&[
        "m=audio 49170 RTP/AVP 0 8 97 101 13 97",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:97 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:30",
        "a=sendonly",
    ]);

    let numbers: Vec<u8> = media.formats.iter().map(|format| format.payload_type).collect();
    assert_eq!(numbers, [0, 8, 97, 101]);
    assert_eq!(
        media.codecs().map(|(codec, _)| codec).collect::<Vec<_>>(),
        [Codec::Pcmu, Codec::Pcma, Codec::Opus]
    );
    assert_eq!(media.at, "192.0.2.9:49170".parse().unwrap());
    assert_eq!(media.rtcp, "192.0.2.9:49171".parse().unwrap());
    assert_eq!((media.ptime, media.direction), (Some(30), Direction::Sends));
    assert!(media.holds());
}

#[test]
fn the_address_of_a_medium_goes_before_that_of_the_session() {
    let media = audio(&["m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::9", "a=rtcp:4800 IN IP6 2001:db8::a"]);

    assert_eq!(media.at, "[2001:db8::9]:4000".parse().unwrap());
    assert_eq!(media.rtcp, "[2001:db8::a]:4800".parse().unwrap());
}

#[test]
fn rtcp_is_where_it_is_said_to_be() {
    assert_eq!(audio(&["m=audio 4000 RTP/AVP 0", "a=rtcp:4800"]).rtcp.port(), 4800);
    assert_eq!(audio(&["m=audio 4000 RTP/AVP 0", "a=rtcp-mux"]).rtcp.port(), 4000);
    assert_eq!(audio(&["m=audio 65535 RTP/AVP 0"]).rtcp.port(), 65535);
}

#[test]
fn holding_is_understood_in_both_ways_of_saying_it() {
    assert!(audio(&["m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"]).holds());
    assert!(audio(&["m=audio 4000 RTP/AVP 0", "a=inactive"]).holds());
    assert!(!audio(&["m=audio 4000 RTP/AVP 0", "a=recvonly"]).holds());
}

#[test]
fn a_direction_of_the_session_is_that_of_its_media() {
    let sdp = parse(&[
        "c=IN IP4 192.0.2.9",
        "a=inactive",
        "m=audio 4 RTP/AVP 0",
        "m=audio 6 RTP/AVP 0",
        "a=sendrecv",
    ]);

    let directions: Vec<Direction> = sdp.unwrap().media.iter().map(|media| media.direction).collect();
    assert_eq!(directions, [Direction::Inactive, Direction::Both]);
}

#[test]
fn only_keys_of_our_suite_without_parameters_are_read() {
    const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let keys = |crypto: &str| audio(&["m=audio 4 RTP/SAVP 0", &format!("a=crypto:{crypto}")]).keys.len();

    assert_eq!(keys(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")), 1);
    assert_eq!(keys(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20")), 1);
    assert_eq!(keys(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4")), 0);
    assert_eq!(keys(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP")), 0);
    assert_eq!(keys(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}")), 0);
    assert_eq!(keys("1 AES_CM_128_HMAC_SHA1_80 inline:BwcH"), 0);
}

#[test]
fn what_cannot_be_answered_cannot_be_read() {
    for lines in [
        &["v=0", "s=-"][..],
        &["m=audio 4000 RTP/AVP 0"],
        &["c=IN IP4 sip.example.com", "m=audio 4000 RTP/AVP 0"],
        &["c=IN IP4 224.2.1.1", "m=audio 4000 RTP/AVP 0"],
        &["c=IN IP6 192.0.2.1", "m=audio 4000 RTP/AVP 0"],
        &["c=IN IP4 192.0.2.1", "m=audio 70000 RTP/AVP 0"],
        &["c=IN IP4 192.0.2.1", "m=smell 4000 RTP/AVP 0"],
        &["c=IN IP4 192.0.2.1", "m=audio"],
    ] {
        assert_eq!(parse(lines), Err(Unreadable), "{lines:?}");
    }
    let many = format!("c=IN IP4 192.0.2.1\n{}", "m=audio 4000 RTP/AVP 0\n".repeat(17));
    assert_eq!(Sdp::parse(many.as_bytes()), Err(Unreadable));
    assert_eq!(Sdp::parse(&vec![b'\n'; LONGEST + 1]), Err(Unreadable));
}

#[test]
fn a_key_is_never_printed() {
    let key = Key { tag: 1, material: [7; 30] };

    assert_eq!(format!("{key:?}"), "Key(1, ***)");
}

fn any_format() -> impl Strategy<Value = Meaning> {
    prop_oneof![
        proptest::sample::select(Codec::ALL.to_vec()).prop_map(Meaning::Sound),
        Just(Meaning::Events(8000)),
        Just(Meaning::Events(48_000)),
    ]
}

/// Formats with a number each, of which none comes twice.
fn any_formats() -> impl Strategy<Value = Vec<Format>> {
    (proptest::collection::vec(any_format(), 1..6), 96_u8..110).prop_map(|(meanings, first)| {
        let mut formats: Vec<Format> = Vec::new();
        for (meaning, payload_type) in meanings.into_iter().zip(first..) {
            if !formats.iter().any(|format| format.meaning == meaning) {
                formats.push(Format { payload_type, meaning });
            }
        }
        formats
    })
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    ip.prop_filter("one peer", |ip| !ip.is_multicast())
}

prop_compose! {
    fn any_audio()(
        profile in proptest::sample::select(vec![Profile::Plain, Profile::PlainFeedback, Profile::Secure]),
        ip in any_ip(),
        port in 1_u16..,
        rtcp in proptest::option::of((any_ip(), 1_u16..)),
        mux in any::<bool>(),
        formats in any_formats(),
        direction in proptest::sample::select(
            vec![Direction::Both, Direction::Sends, Direction::Receives, Direction::Inactive]),
        ptime in proptest::option::of(10_u8..=100),
        keys in proptest::collection::vec((any::<u32>(), any::<[u8; 30]>()), 0..3),
    ) -> Media {
        let at = SocketAddr::new(ip, port);
        Media {
            kind: Kind::Audio,
            profile,
            at,
            rtcp: rtcp.map_or_else(|| next_port(at, mux), |(ip, port)| SocketAddr::new(ip, port)),
            mux,
            formats,
            direction,
            ptime,
            keys: keys.into_iter().map(|(tag, material)| Key { tag, material }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        id in any::<u64>(), version in any::<u64>(), media in proptest::collection::vec(any_audio(), 1..4),
    ) {
        let sdp = Sdp { id, version, media };
        prop_assert_eq!(Sdp::parse(sdp.to_string().as_bytes()), Ok(sdp));
    }

    #[test]
    fn garbage_is_refused_in_peace(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Sdp::parse(&bytes);
    }

    #[test]
    fn damaged_descriptions_are_read_or_refused_in_peace(
        media in any_audio(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut text = Sdp { id: 1, version: 1, media: vec![media] }.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(read) = Sdp::parse(&text) {
            // Whatever was read can be written, and is then no longer damaged.
            let written = read.to_string();
            prop_assert!(Sdp::parse(written.as_bytes()).is_ok());
        }
    }
}
