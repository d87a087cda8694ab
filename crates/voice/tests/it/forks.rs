//! Two telephones that answer one INVITE, as behind a proxy that rings several at once.

use std::net::SocketAddr;

use callveil_voice::leg::{Cause, EndedBy, Event, Order, Port};
use tokio::net::UdpSocket;

use crate::sip::{World, next, telephone, to, within};

/// Telephones at one address, each known by the tag that it answers with.
struct Telephones(UdpSocket);

impl Telephones {
    /// The next request of this method, and whence it came. Repetitions of others are passed over.
    async fn asked(&self, method: &str) -> (String, SocketAddr) {
        let mut buffer = [0; 4_096];
        loop {
            let (length, source) = within(self.0.recv_from(&mut buffer)).await.unwrap();
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if request.starts_with(&format!("{method} ")) {
                return (request, source);
            }
        }
    }

    async fn accept(&self, (request, source): &(String, SocketAddr), tag: &str) {
        let copied = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        let to = copied("To: ");
        let to = if to.contains(";tag=") { to } else { format!("{to};tag={tag}") };
        let contact = self.0.local_addr().unwrap();
        let answer = format!(
            "SIP/2.0 200 OK\r\n{}\r\n{}\r\n{to}\r\n{}\r\n{}\r\nContact: <sip:{tag}@{contact}>\r\nContent-Length: 0\r\n\r\n",
            copied("Via: "),
            copied("From: "),
            copied("Call-ID: "),
            copied("CSeq: ")
        );
        self.0.send_to(answer.as_bytes(), source).await.unwrap();
    }
}

#[tokio::test]
async fn of_two_telephones_that_answer_the_second_is_hung_up_on() {
    let telephones = Telephones(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let mut trunk = to(telephones.0.local_addr().unwrap(), "udp");
    trunk.probe = None;
    let world = World::with(vec![trunk]).await;
    let mut leg = world.sip.dial(telephone()).await;

    let invite = telephones.asked("INVITE").await;
    telephones.accept(&invite, "first").await;
    let acknowledged = telephones.asked("ACK").await.0;
    assert!(acknowledged.contains(";tag=first"), "{acknowledged}");
    assert!(matches!(next(&mut leg).await, Event::Answered(None)));

    telephones.accept(&invite, "second").await;
    let acknowledged = telephones.asked("ACK").await.0;
    assert!(acknowledged.contains(";tag=second"), "{acknowledged}");
    let bye = telephones.asked("BYE").await;
    assert!(bye.0.starts_with("BYE sip:second@") && bye.0.contains(";tag=second"), "{}", bye.0);
    telephones.accept(&bye, "second").await;

    // The first goes on as if nothing had been: an answer that is repeated is acknowledged again.
    telephones.accept(&invite, "first").await;
    let acknowledged = telephones.asked("ACK").await.0;
    assert!(acknowledged.contains(";tag=first"), "{acknowledged}");
    leg.orders.send(Order::Hangup(Cause::NORMAL)).await.unwrap();
    assert!(matches!(next(&mut leg).await, Event::Ended(EndedBy::Us)));
    let bye = telephones.asked("BYE").await;
    assert!(bye.0.starts_with("BYE sip:first@"), "{}", bye.0);
    telephones.accept(&bye, "first").await;
    world.is_left_empty().await;
}
