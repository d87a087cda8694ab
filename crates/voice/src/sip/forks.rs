//! Answers to an INVITE by more than one telephone.
//!
//! A proxy may ring several at once, and two may answer in the same moment. The first answer makes the call; each other
//! one is acknowledged by the library, and ended here with a BYE (RFC 3261 13.2.2.4).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::sip::prelude::ToTypedHeader;
use rsipstack::sip::typed::{CSeq, Via};
use rsipstack::sip::{Header, HeadersExt, Method, Request, Response, Transport, Version};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::kind;

/// How long after the first answer others are looked for: 64 x T1 (RFC 3261 13.2.2.4).
const LONGEST: Duration = Duration::from_secs(32);

/// Other answers that may wait to be ended. More are ended when they are repeated.
const WAITING: usize = 64;

/// Call-ID and our tag.
type Key = (String, String);

/// The calls that were answered in the last 32 s, and by whom.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// The tags of those who have answered a call: the first made it.
    tags: HashMap<Key, Vec<String>>,
    since: VecDeque<(Instant, Key)>,
}

impl Answers {
    /// A call is answered.
    pub(super) fn first(&self, dialog: &DialogId, now: Instant) {
        let mut table = self.table();
        table.forget(now);
        let key = (dialog.call_id.clone(), dialog.local_tag.clone());
        table.since.push_back((now, key.clone()));
        table.tags.insert(key, vec![dialog.remote_tag.clone()]);
    }

    /// Whether a response is an answer by somebody else to a call that has been answered; told once for each of them.
    pub(super) fn is_another(&self, response: &Response) -> bool {
        if !is_answer(response) {
            return false;
        }
        let Ok(dialog) = DialogId::try_from((response, TransactionRole::Client)) else { return false };
        let mut table = self.table();
        let Some(tags) = table.tags.get_mut(&(dialog.call_id, dialog.local_tag)) else { return false };
        if tags.contains(&dialog.remote_tag) {
            return false;
        }
        tags.push(dialog.remote_tag);
        true
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.since.pop_front_if(|(since, _)| now.duration_since(*since) > LONGEST)
        {
            self.tags.remove(&key);
        }
    }
}

fn is_answer(response: &Response) -> bool {
    let is_invite = || response.cseq_header().and_then(|cseq| cseq.method()) == Ok(Method::Invite);
    matches!(response.status_code.code(), 200..300) && is_invite()
}

/// Takes the answers that are to be ended.
pub(super) type Others = mpsc::Sender<(Response, Transport)>;

/// Ends the answers that are given to it, for as long as the endpoint runs.
pub(super) fn end_others(endpoint: EndpointInnerRef, mut others: mpsc::Receiver<(Response, Transport)>) {
    tokio::spawn(async move {
        while let Some((response, transport)) = others.recv().await {
            let endpoint = Arc::clone(&endpoint);
            tokio::spawn(async move {
                if let Err(error) = end(endpoint, &response, transport).await {
                    tracing::debug!("a second answer to a call was not ended: {}", kind(&error));
                }
            });
        }
    });
}

/// The way to [`end_others`].
pub(super) fn others() -> (Others, mpsc::Receiver<(Response, Transport)>) {
    mpsc::channel(WAITING)
}

async fn end(endpoint: EndpointInnerRef, response: &Response, transport: Transport) -> rsipstack::Result<()> {
    let listeners = endpoint.transport_layer.get_listen_addrs();
    let from = listeners.into_iter().find(|listener| listener.r#type == Some(transport));
    let Some(bye) = bye(response, endpoint.get_via(from, None)?) else { return Ok(()) };
    let key = TransactionKey::from_request(&bye, TransactionRole::Client)?;
    let mut transaction = Transaction::new_client(key, bye, endpoint, None);
    transaction.send().await?;
    while transaction.receive().await.is_some() {}
    Ok(())
}

/// The BYE of the dialogue that an answer has made, by what the answer says of it (RFC 3261 12.1.2); `None` when it
/// does not say enough.
fn bye(response: &Response, via: Via) -> Option<Request> {
    let contact = response.contact_header().ok()?.typed().ok()?.uri;
    let recorded = response.record_route_headers();
    let routes: Vec<&str> =
        recorded.iter().flat_map(|routes| routes.value().split(',')).map(str::trim).collect();
    let seq = response.cseq_header().ok()?.seq().ok()? + 1;
    let mut headers = vec![
        Header::Via(via.into()),
        Header::MaxForwards(70.into()),
        Header::From(response.from_header().ok()?.clone()),
        Header::To(response.to_header().ok()?.clone()),
        Header::CallId(response.call_id_header().ok()?.clone()),
        Header::CSeq(CSeq { seq, method: Method::Bye }.into()),
    ];
    headers.extend(routes.into_iter().rev().map(|route| Header::Route(route.into())));
    let version = Version::V2;
    Some(Request { method: Method::Bye, uri: contact, version, headers: headers.into(), body: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, tag: &str, method: &str) -> Response {
        let text = format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=ours\r\n\
             To: <sip:b@example.com>;tag={tag}\r\nCall-ID: 1\r\nCSeq: 7 {method}\r\nContact: <sip:b@192.0.2.9:5070>\r\n\
             Record-Route: <sip:192.0.2.2;lr>, <sip:192.0.2.3;lr>\r\nContent-Length: 0\r\n\r\n"
        );
        Response::try_from(text).unwrap()
    }

    fn dialog(tag: &str) -> DialogId {
        DialogId { call_id: "1".to_owned(), local_tag: "ours".to_owned(), remote_tag: tag.to_owned() }
    }

    #[test]
    fn only_another_telephones_answer_to_an_answered_call_is_another_and_once() {
        let answers = Answers::default();
        assert!(!answers.is_another(&answer("200 OK", "b", "INVITE")), "no call is answered");
        answers.first(&dialog("a"), Instant::now());
        assert!(!answers.is_another(&answer("200 OK", "a", "INVITE")), "the first, again");
        assert!(!answers.is_another(&answer("180 Ringing", "b", "INVITE")));
        assert!(!answers.is_another(&answer("200 OK", "b", "BYE")));
        assert!(answers.is_another(&answer("200 OK", "b", "INVITE")));
        assert!(!answers.is_another(&answer("200 OK", "b", "INVITE")), "again");
    }

    #[test]
    fn answers_are_forgotten() {
        let answers = Answers::default();
        let now = Instant::now();
        answers.first(&dialog("a"), now);
        answers.first(&DialogId { call_id: "2".to_owned(), ..dialog("a") }, now + LONGEST * 2);
        assert!(!answers.is_another(&answer("200 OK", "b", "INVITE")));
        assert_eq!(answers.table().since.len(), 1);
    }

    #[test]
    fn the_bye_goes_where_the_answer_says() {
        let via = Via {
            version: Version::V2,
            transport: Transport::Udp,
            uri: rsipstack::sip::Uri::try_from("sip:192.0.2.1:5060").unwrap(),
            params: Vec::new(),
        };
        let text = bye(&answer("200 OK", "b", "INVITE"), via).unwrap().to_string();
        assert!(text.starts_with("BYE sip:b@192.0.2.9:5070 SIP/2.0\r\n"), "{text}");
        assert!(
            text.contains("CSeq: 8 BYE\r\n") && text.contains("To: <sip:b@example.com>;tag=b\r\n"),
            "{text}"
        );
        let routes: Vec<&str> = text.lines().filter(|line| line.starts_with("Route:")).collect();
        assert_eq!(routes, ["Route: <sip:192.0.2.3;lr>", "Route: <sip:192.0.2.2;lr>"]);
    }
}
