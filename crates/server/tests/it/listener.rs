//! What the listener does with clients that are slow, idle or many.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::world::{SOON, Server, World, until};

/// A connection that has said this much.
fn say(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// All that comes back until the server closes the connection.
fn read_to_end(mut stream: &TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const LIVE: &str = "GET /live HTTP/1.1\r\nHost: callveil\r\n\r\n";

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let world = World::new();
    world.write("callveil.toml", "[http]\nheader_timeout = \"1s\"");
    let server = world.serve_with(&["--config", "callveil.toml"]).unwrap();

    assert_eq!(read_to_end(&say(&server, "")), "");
    let cut_off = read_to_end(&say(&server, "GET /live HTTP/1.1\r\nHo"));
    assert!(cut_off.is_empty() || cut_off.starts_with("HTTP/1.1 408"), "{cut_off}");
    let kept = read_to_end(&say(&server, &[LIVE, LIVE].concat()));
    assert_eq!(
        kept.matches("HTTP/1.1 200").count(),
        2,
        "both are answered before the idle connection is closed"
    );
}

#[test]
fn one_connection_too_many_waits_until_another_is_closed() {
    let world = World::new();
    world.write("callveil.toml", "[http]\nconnections = 2");
    let server = world.serve_with(&["--config", "callveil.toml"]).unwrap();
    let mut open: Vec<TcpStream> = (0..2).map(|_| say(&server, LIVE)).collect();
    let mut answer = [0; 12];
    for stream in &mut open {
        stream.read_exact(&mut answer).unwrap();
    }

    let mut third = say(&server, LIVE);
    // Whoever has a place is answered meanwhile.
    let mut first = &open[0];
    first.write_all(LIVE.as_bytes()).unwrap();
    until("the second answer", SOON, || {
        let mut all = [0; 4096];
        first.read(&mut all).unwrap() > 0 && String::from_utf8_lossy(&all).contains("HTTP/1.1 200")
    });
    third.set_nonblocking(true).unwrap();
    assert_eq!(third.read(&mut answer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    third.set_nonblocking(false).unwrap();
    drop(open.pop());

    third.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn a_server_that_leaves_says_so_and_goes_on_answering_for_a_while() {
    let world = World::new()
        .with_variable("CALLVEIL_HTTP_DRAIN_PAUSE", "1h")
        .with_variable("CALLVEIL_HTTP_HEADER_TIMEOUT", "1h");
    let mut server = world.serve();
    let mut kept = server.stranger();
    assert_eq!(kept.get("/ready").status, 200);

    server.signal(Signal::TERM);
    until("the word that it leaves", SOON, || server.stranger().get("/ready").status == 503);

    for client in [&mut kept, &mut server.stranger()] {
        let answer = client.get("/live");
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    }
    assert!(server.is_running());
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    // By itself it ends when the while is over.
    let brief = World::new().with_variable("CALLVEIL_HTTP_DRAIN_PAUSE", "1s");
    assert!(brief.serve().stop().success());
}
