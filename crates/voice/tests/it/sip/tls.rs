//! SIP by TLS.

use super::*;

/// A certificate for 127.0.0.1, its key, and the authority that made it: `openssl` makes all three.
fn made_by_an_authority(directory: &std::path::Path) -> (Identity, Vec<u8>) {
    let run = |arguments: &[&str]| {
        let made =
            std::process::Command::new("openssl").current_dir(directory).args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    run(&[&authority[..], &key].concat());
    let ours =
        ["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=callveil", "-keyout", "key.pem"];
    let named = [
        "-out",
        "cert.pem",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    run(&[&ours[..], &named, &key].concat());
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    (Identity { certificate: read("cert.pem"), key: read("key.pem") }, read("ca.pem"))
}

#[tokio::test]
async fn a_call_goes_by_tls_between_two_that_know_each_other_s_names() {
    let directory = tempfile::tempdir().unwrap();
    let (identity, authority) = made_by_an_authority(directory.path());
    let by_tls = || Settings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        tls_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        identity: Some(identity.clone()),
        authorities: Some(authority.clone()),
        calls: 100,
        ..Settings::default()
    };
    let named = |name: &str| trunk(&[("sources", "127.0.0.1"), ("certificate_names", name)]);
    let mut callee = World::as_set(by_tls(), vec![named("127.0.0.1")]).await;
    let other = World::as_set(by_tls(), vec![named("sbc.example.com")]).await;
    let calling = |world: &World| {
        let mut trunk = to(world.sip.tls_addresses()[0], "tls");
        trunk.probe = None;
        trunk
    };

    let caller = World::as_set(by_tls(), vec![calling(&callee)]).await;
    let mut leg = caller.sip.dial(telephone()).await;
    let mut invitation = callee.invited().await;
    invitation.leg.orders.send(Order::Answer(description())).await.unwrap();
    assert!(matches!(next(&mut leg).await, Event::Answered(Some(_))));
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    assert!(matches!(next(&mut invitation.leg).await, Event::Acknowledged(None)));
    assert!(matches!(next(&mut invitation.leg).await, Event::Ended(EndedBy::Peer)));
    caller.is_left_empty().await;
    callee.is_left_empty().await;

    caller.sip.adopt(vec![calling(&other)]);
    let mut leg = caller.sip.dial(telephone()).await;
    assert!(matches!(next(&mut leg).await, Event::Refused(_)), "its certificate carries another name");
}
