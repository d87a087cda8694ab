//! Calls between telephones that others have built, and what each of them hears.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use callveil_voice::media::codec::Law;
use callveil_voice::media::wav;
use serde_json::json;

use super::{allocate, records};
use crate::baresip::{Baresip, Setup};
use crate::sound::{compare, noise};
use crate::world::{World, party, try_until, virtual_number};

/// How long a call of three seconds may take on a busy machine.
const MINUTE: Duration = Duration::from_secs(60);

/// How two telephones are to call each other.
struct Way {
    at: IpAddr,
    transport: &'static str,
    /// The certificate with its key, and its authority.
    certificates: Option<(PathBuf, PathBuf)>,
}

impl Way {
    fn plain(at: impl Into<IpAddr>, transport: &'static str) -> Way {
        Way { at: at.into(), transport, certificates: None }
    }
}

/// A world whose servers take calls this way.
fn world(way: &Way) -> World {
    let listen = SocketAddr::new(way.at, 0).to_string();
    let world = World::new().with_variable("CALLVEIL_SIP_LISTEN", &listen);
    let Some((certificate, authorities)) = &way.certificates else { return world };
    let [certificate, authorities] = [certificate, authorities].map(|path| path.to_str().unwrap());
    world
        .with_variable("CALLVEIL_SIP_TLS_LISTEN", &listen)
        .with_variable("CALLVEIL_SIP_CERTIFICATE", certificate)
        .with_variable("CALLVEIL_SIP_KEY", certificate)
        .with_variable("CALLVEIL_SIP_AUTHORITIES", authorities)
}

/// Adds the trunk by which both telephones are reached.
fn add_trunk(world: &World, way: &Way, target: SocketAddr) {
    let (source, target) = (way.at.to_string(), target.to_string());
    let transport = format!("transport={}", way.transport);
    let secure: &[&str] = match way.certificates {
        Some(_) => &["media=srtp", "certificate_names=telephone.example"],
        None => &[],
    };
    let trunk =
        ["trunk", "add", "carrier", "--source", &source, "--target", &target, "probe=off", &transport];
    world.json(&[&trunk[..], secure].concat());
}

/// One telephone calls the other, and both hear what the other plays, and nothing else; so does the recording.
fn both_are_heard(way: &Way) {
    let world = world(way);
    let tenant = world.tenant("acme", 3);
    world.json(&["settings", "set", "--tenant", "acme", "recording=on"]);
    let [a_plays, b_plays] = [noise(101, 3), noise(202, 20)];
    let certificates = way.certificates.as_ref().map(|(own, authority)| (own.as_path(), authority.as_path()));
    let (one, other) = (party(1), party(2));
    let setup = Setup { at: way.at, number: &other, transport: way.transport, certificates, plays: &b_plays };
    let b = Baresip::answers(&setup);
    add_trunk(&world, way, b.address());
    let server = world.serve();
    allocate(&server, &tenant, &json!({}));

    let address = match way.certificates {
        Some(_) => server.started["sip_tls"][0].as_str().unwrap().parse().unwrap(),
        None => server.sip(),
    };
    let a = Baresip::calls(&Setup { number: &one, plays: &a_plays, ..setup }, &virtual_number(1), address);
    let told = || format!("A:\n{}\nB:\n{}\n{}", a.log(), b.log(), server.log());
    let ended = try_until(MINUTE, || {
        let ended = records(&world).into_iter().find(|record| record.ended_at().is_some());
        ended.filter(|record| record.answered_at.is_some())
    });
    let record = ended.unwrap_or_else(|| panic!("no call was answered and ended\n{}", told()));

    let recording = record.recording.unwrap_or_else(|| panic!("no recording\n{}", told()));
    let recording = recorded(&world.path("callveil-data/recordings").join(recording.as_str()));
    let cases = [
        ("B hears A", &a_plays[..], &b.heard(), true),
        ("A hears B", &b_plays, &a.heard(), true),
        ("A hears itself", &a_plays, &a.heard(), false),
        ("B hears itself", &b_plays[..a_plays.len()], &b.heard(), false),
        ("the left is A", &a_plays, &recording[0], true),
        ("the right is B", &b_plays, &recording[1], true),
        ("the right is A", &a_plays, &recording[1], false),
    ];
    for (what, played, heard, well) in cases {
        let compared = compare(played, heard);
        let right = if well { compared.well() } else { compared.found == 0 };
        assert!(right, "{what}: {well} expected, {compared:?} of {} samples\n{}", heard.len(), told());
    }
}

/// The two channels of a recording.
fn recorded(path: &Path) -> [Vec<i16>; 2] {
    let file = std::fs::read(path).unwrap();
    let law = if file[20] == 7 { Law::Mu } else { Law::A };
    let frames = file[wav::HEADER..].chunks_exact(2);
    let channel = |n: usize| frames.clone().map(|frame| law.decode(frame[n])).collect();
    [channel(0), channel(1)]
}

/// A certificate with its key, for the addresses of loopback and a name, and the authority that made it.
fn certificates(directory: &Path) -> (PathBuf, PathBuf) {
    let run = |arguments: &[&str]| {
        let made = Command::new("openssl").current_dir(directory).args(arguments).output();
        let made = made.expect("openssl is installed (scripts/setup-tests)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    run(&[&authority[..], &key].concat());
    let own =
        ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=test", "-keyout", "key.pem"];
    let names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:telephone.example";
    let named = ["-out", "cert.pem", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"];
    run(&[&own[..], &named, &key].concat());
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let both = directory.join("both.pem");
    std::fs::write(&both, read("cert.pem") + &read("key.pem")).unwrap();
    (both, directory.join("ca.pem"))
}

#[test]
fn two_telephones_hear_each_other_by_udp() {
    both_are_heard(&Way::plain(Ipv4Addr::LOCALHOST, "udp"));
}

#[test]
fn two_telephones_hear_each_other_by_tls_and_srtp() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Some(certificates(directory.path()));
    both_are_heard(&Way { at: Ipv4Addr::LOCALHOST.into(), transport: "tls", certificates });
}

#[test]
fn two_telephones_hear_each_other_by_udp_and_ipv6() {
    both_are_heard(&Way::plain(Ipv6Addr::LOCALHOST, "udp"));
}

#[test]
fn two_telephones_hear_each_other_by_tcp_and_ipv6() {
    both_are_heard(&Way::plain(Ipv6Addr::LOCALHOST, "tcp"));
}
