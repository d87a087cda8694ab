//! Names that lead somewhere else than they did when they were looked at.
//!
//! Nothing leaves the machine: 127.0.0.2, which the guard is told to let, stands for the public address.
//! `CALLVEIL_REBINDING=10000 cargo test -p callveil-webhooks --test it elsewhere` is the longer form.

use std::net::{IpAddr, Ipv4Addr};

use callveil_webhooks::client::{Answer, Silence};
use callveil_webhooks::guard::{Forbidden, Guard};
use tokio::net::TcpListener;

use crate::attempts::{NOW, client, message};
use crate::dns::Dns;
use crate::sink::{Reply, Sink};

const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn guard() -> Guard {
    Guard { allow: vec!["127.0.0.2/32".parse().unwrap()], allow_http: true }
}

/// Two receivers on one port, one at each address, that keep no connection.
async fn receivers() -> (Sink, Sink) {
    for _ in 0..100 {
        let public = TcpListener::bind((PUBLIC, 0)).await.unwrap();
        let port = public.local_addr().unwrap().port();
        let Ok(private) = TcpListener::bind((PRIVATE, port)).await else { continue };
        let once = |_: &_| Reply::Status(200, vec![("connection", "close".to_owned())]);
        return (Sink::on(public, once), Sink::on(private, once));
    }
    panic!("no port is free at both addresses");
}

#[tokio::test]
async fn a_name_that_turns_inwards_is_not_followed() {
    let tries = std::env::var("CALLVEIL_REBINDING").map_or(200, |n| n.parse().unwrap());
    let (public, private) = receivers().await;
    let dns = Dns::start(|n| vec![if n.is_multiple_of(2) { PUBLIC } else { PRIVATE }]).await;
    let client = client(dns.resolver(), guard());
    let url = format!("http://rebind.example:{}/", public.address.port());

    let (mut reached, mut refused) = (0, 0);
    for _ in 0..tries {
        match client.post(&message(&url), NOW).await {
            Answer::Status { .. } => reached += 1,
            Answer::Nothing(Silence::Forbidden(Forbidden::Address)) => refused += 1,
            other @ Answer::Nothing(_) => panic!("{other:?}"),
        }
    }

    assert_eq!(private.connections(), 0);
    assert_eq!(public.requests().len(), reached);
    assert!(reached > 0 && refused > 0, "{reached} reached, {refused} refused, of {} asked", dns.asked());
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_may_be_reached_is_tried() {
    let (public, private) = receivers().await;
    let dns = Dns::start(|_| vec![PRIVATE, IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), PUBLIC]).await;
    let client = client(dns.resolver(), guard());
    let url = format!("http://mixed.example:{}/", public.address.port());

    for _ in 0..20 {
        assert!(matches!(client.post(&message(&url), NOW).await, Answer::Status { .. }));
    }

    assert_eq!((private.connections(), public.requests().len()), (0, 20));
}

#[tokio::test]
async fn a_name_of_private_addresses_is_refused_and_one_of_none_is_not_found() {
    let dns = Dns::start(|n| if n == 0 { vec![PRIVATE] } else { vec![] }).await;
    let client = client(dns.resolver(), guard());

    let refused = client.post(&message("http://inside.example/"), NOW).await;
    let absent = client.post(&message("http://absent.example/"), NOW).await;

    assert_eq!(refused, Answer::Nothing(Silence::Forbidden(Forbidden::Address)));
    assert_eq!(absent, Answer::Nothing(Silence::Name));
}
