//! Sends one message once, and says what came of it. Follows no redirect, asks no proxy, and keeps nothing of what
//! the receiver says but its status and when it wants to be asked again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::ring;
use tokio::time::timeout;

use callveil_domain::time::Timestamp;

use crate::connect::{Guarded, NoConnection};
use crate::guard::{Forbidden, Guard};
use crate::resolve::Resolver;
use crate::sign;

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the name to an open connection.
    pub connect: Duration,
    /// From its beginning to the head of the answer.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { connect: Duration::from_secs(5), total: Duration::from_secs(15) }
    }
}

/// How much of an answer's body is read, to keep the connection for the next message.
const READ: usize = 64 * 1_024;

/// How long the body of an answer is waited for. The answer is known already.
const LINGER: Duration = Duration::from_secs(1);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How many idle connections to one host are kept.
const IDLE_PER_HOST: usize = 64;

/// An HTTP client that goes only where its guard lets it.
#[derive(Clone)]
pub struct Client {
    guard: Arc<Guard>,
    total: Duration,
    pool: Pool<HttpsConnector<Guarded>, Full<Bytes>>,
}

/// One message, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message<'m> {
    /// Where to.
    pub url: &'m str,
    /// Its id, which stays the same over all attempts.
    pub id: &'m str,
    /// What is sent.
    pub body: Bytes,
    /// What it is signed with, the newest first.
    pub secrets: &'m [&'m [u8]],
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered.
    Status {
        /// With this.
        status: StatusCode,
        /// And wants to be left alone for this long.
        retry_after: Option<Duration>,
    },
    /// It did not.
    Nothing(Silence),
}

/// Why there was no answer. Says nothing that the receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The endpoint may not be tried.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Its name has no address.
    #[error("the name could not be resolved")]
    Name,
    /// It takes no connection.
    #[error("no connection")]
    Connection,
    /// Its certificate does not hold, or it speaks no TLS.
    #[error("no secure connection")]
    Tls,
    /// It closed the connection or spoke no HTTP.
    #[error("no HTTP answer")]
    Broken,
    /// It took too long.
    #[error("no answer in time")]
    TooLong,
}

impl Client {
    /// A client with the machine's certificates of authorities.
    pub fn new(guard: Guard, resolver: Resolver, patience: Patience) -> io::Result<Client> {
        let Patience { connect, total } = patience;
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let guard = Arc::new(guard);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Guarded {
                guard: Arc::clone(&guard),
                resolver: Arc::new(resolver),
                patience: connect,
            });
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Ok(Client { guard, total, pool })
    }

    /// Posts a message, signed at `now`.
    pub async fn post(&self, message: &Message<'_>, now: Timestamp) -> Answer {
        let request = match self.request(message, now) {
            Ok(request) => request,
            Err(forbidden) => return Answer::Nothing(forbidden.into()),
        };
        let answer = match timeout(self.total, self.pool.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Answer::Nothing(silence(&error)),
            Err(_) => return Answer::Nothing(Silence::TooLong),
        };
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|wait| read_wait(wait, now));
        // Read to its end, it leaves the connection for the next message; otherwise this closes it.
        let _ = timeout(LINGER, Limited::new(answer.into_body(), READ).collect()).await;
        Answer::Status { status, retry_after }
    }

    fn request(&self, message: &Message<'_>, now: Timestamp) -> Result<Request<Full<Bytes>>, Forbidden> {
        let target = self.guard.target(message.url)?;
        let signed = sign::signatures(message.id, now, &message.body, message.secrets.iter().copied());
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri().clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(sign::ID, header(message.id));
        headers.insert(sign::TIMESTAMP, HeaderValue::from(sign::seconds(now)));
        if !signed.is_empty() {
            headers.insert(sign::SIGNATURE, header(&signed));
        }
        Ok(request)
    }
}

const AGENT: &str = concat!("callveil/", env!("CARGO_PKG_VERSION"));

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("law: ids and signatures are printable")
}

fn silence(error: &PoolError) -> Silence {
    match NoConnection::under(error) {
        Some(NoConnection::Forbidden(forbidden)) => Silence::Forbidden(*forbidden),
        Some(NoConnection::Name(_)) => Silence::Name,
        Some(NoConnection::Refused(_) | NoConnection::TooLong) => Silence::Connection,
        None if error.is_connect() => Silence::Tls,
        None => Silence::Broken,
    }
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn read_wait(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp::from_micros(date.as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        let now = Timestamp::from_micros(1_445_412_475_000_000); // 21 October 2015, 07:27:55 UTC
        let check = |text: &str, seconds: Option<u64>| {
            let wait = read_wait(&HeaderValue::from_str(text).unwrap(), now);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text:?}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Wed, 21 Oct 2015 07:28:00 GMT", Some(5));
        check("Wed, 21 Oct 2015 07:27:00 GMT", Some(0));
        check("-1", None);
        check("soon", None);
        check("", None);
    }
}
