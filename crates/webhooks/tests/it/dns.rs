//! A name server that answers as it is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use callveil_webhooks::resolve::Resolver;
use hickory_resolver::config::NameServerConfig;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// A running name server. It is gone when it is dropped.
pub struct Dns {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Dns {
    /// A server that gives the nth question for addresses of IPv4 the nth answer, with nothing that could be kept
    /// for later.
    pub async fn start(addresses: impl Fn(usize) -> Vec<IpAddr> + Send + 'static) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let listening = tokio::spawn(async move {
            let mut question = [0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let Ok(question) = Message::from_vec(&question[..length]) else { continue };
                let answer = answer(question, &|| addresses(count.fetch_add(1, Ordering::SeqCst)));
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        Dns { address, asked, listening }
    }

    pub fn resolver(&self) -> Resolver {
        let mut server = NameServerConfig::udp(self.address.ip());
        server.connections[0].port = self.address.port();
        Resolver::of_server(server).unwrap()
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn answer(question: Message, addresses: &dyn Fn() -> Vec<IpAddr>) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    for query in &question.queries {
        answer.add_query(query.clone());
        let wanted = query.query_type();
        if wanted != RecordType::A {
            continue;
        }
        for address in addresses() {
            let data = match address {
                IpAddr::V4(v4) => RData::A(v4.into()),
                IpAddr::V6(v6) => RData::AAAA(v6.into()),
            };
            answer.add_answer(Record::from_rdata(query.name().clone(), 0, data));
        }
    }
    answer
}
