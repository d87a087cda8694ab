//! SIP: the one module that knows the SIP library.
//!
//! [`start`] listens, and gives what the rest of the program works with: a [`Sip`], which dials, and the invitations
//! that come. Each leg is run by a task of its own, which owns the dialogue in the library and gives it back when the
//! leg has ended. What this module promises beyond the library:
//!
//! - nothing of a peer's message is passed on: [`reading`] takes from it what [`crate::leg`] can say, and
//!   [`outgoing`] lets no header field out that is not ours;
//! - the library's own log, which holds whole messages, is for nobody: `rsipstack` is silenced where logging is set up, and
//!   [`trace`] tells the messages, masked, to whoever asks for them by name;
//! - dialogues are counted ([`Sip::counts`]), and none stays when its leg has ended.

mod datagrams;
mod dialogs;
mod digest;
mod forks;
pub mod gate;
mod inbound;
mod names;
mod outbound;
mod outgoing;
mod probe;
mod reading;
mod register;
mod reliable;
mod session;
mod stack;
mod standing;
mod streams;
mod tls;
pub mod trace;
mod trunks;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use callveil_domain::node::Randomness;
use callveil_domain::number::PhoneNumber;
use callveil_domain::trunk::{Target, Transport, Trunk};
use rsipstack::dialog::dialog::DialogState;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, HeadersExt, Method, Request, Response, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::leg::{Dial, Encryption, Invitation, Leg, Port};

pub use datagrams::KeptOut;
pub use probe::{Probed, Silence};
#[doc(hidden)]
pub use reading::read_through;
pub use tls::Identity;
pub use trunks::TrunkFigures;

use datagrams::Dropped;
use dialogs::Dialogs;
use digest::Challenges;
use forks::Answers;
use names::Names;
use outgoing::{ALLOWED, Farewells, Inspector};
use stack::{Common, Stack};
use streams::Streams;
use tls::Tls;
use trunks::{Registered, Trunks};

/// Where to listen, and how much to bear.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The addresses to listen on, each by UDP and by TCP. Port 0 takes one that is free.
    pub listen: Vec<SocketAddr>,
    /// The addresses that peers are told to answer to, where they are not the ones listened on: one of each family.
    pub public: Vec<IpAddr>,
    /// The addresses to listen on by TLS, each of a family that is listened on otherwise too.
    pub tls_listen: Vec<SocketAddr>,
    /// Who we are by TLS, both when we are called and when we call.
    pub identity: Option<Identity>,
    /// The authorities that peers' certificates must come from (PEM); `None` trusts those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The most calls that wait or stand at a time; more are told 503.
    pub calls: usize,
    /// What a peer that is told 503 is asked to wait, in seconds.
    pub retry_after: u32,
    /// T1 (RFC 3261 17.1.1.1): after how long an answer is missed, by which all repeats and their ends are reckoned;
    /// `None` is half a second.
    pub t1: Option<Duration>,
}

impl Settings {
    fn t1(&self) -> Duration {
        self.t1.unwrap_or(Duration::from_millis(500))
    }
}

/// Why SIP did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address was given.
    #[error("there is no address to listen on")]
    Nowhere,
    /// An address cannot be had.
    #[error("listening on {address}: {why}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// Names cannot be asked for.
    #[error("DNS: {0}")]
    Names(String),
    /// The certificate, its key or the authorities cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Dials, and tells how SIP stands. A clone is the same.
#[derive(Clone)]
pub struct Sip {
    shared: Arc<Shared>,
}

/// What all legs share.
pub(crate) struct Shared {
    stacks: Vec<Arc<Stack>>,
    dialogs: Dialogs,
    answers: Answers,
    trunks: Trunks,
    names: Names,
    tls: Tls,
    tls_addresses: Vec<SocketAddr>,
    streams: Streams,
    challenges: Challenges,
    farewells: Farewells,
    dropped: Dropped,
    draining: AtomicBool,
    /// Registrars that are being told that we go.
    partings: TaskTracker,
    randomness: Randomness,
    settings: Settings,
    stop: CancellationToken,
}

/// How much is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Dialogues, early ones too, here and in the library.
    pub dialogs: usize,
    /// Transactions that run.
    pub transactions: usize,
    /// Transactions that are kept for repeats of their messages.
    pub finished: usize,
}

/// Invitations that wait to be taken up. More are shed with 503.
const WAITING: usize = 1_024;

/// Listens, and hands over what comes. SIP ends when all clones of the [`Sip`] are dropped, or at [`Sip::stop`].
pub async fn start(
    settings: Settings,
    trunks: Vec<Trunk>,
    randomness: Randomness,
) -> Result<(Sip, mpsc::Receiver<Invitation>), StartError> {
    if settings.listen.is_empty() {
        return Err(StartError::Nowhere);
    }
    let known = Trunks::default();
    let registered = known.adopt(trunks);
    debug_assert!(registered.is_empty(), "law: nobody has registered before the start");
    let trunks = known;
    let names = Names::of_the_system().map_err(StartError::Names)?;
    let (dialogs, answers, farewells) = (Dialogs::default(), Answers::default(), Farewells::default());
    let (dropped, streams) = (Dropped::default(), Streams::default());
    let stop = CancellationToken::new();
    let tls =
        Tls::new(settings.identity.as_ref(), settings.authorities.as_deref()).map_err(StartError::Tls)?;
    let common = Common {
        trunks: trunks.clone(),
        answers: answers.clone(),
        streams: streams.clone(),
        dropped: dropped.clone(),
    };
    let mut stacks: Vec<Arc<Stack>> = Vec::new();
    let mut incoming = Vec::new();
    for address in &settings.listen {
        let inspector = Inspector { dialogs: dialogs.clone(), farewells: farewells.clone() };
        let (stack, transactions) =
            Stack::open(*address, &settings, &common, inspector, stop.child_token()).await?;
        stacks.push(Arc::new(stack));
        incoming.push(transactions);
    }
    let mut tls_addresses = Vec::new();
    for address in &settings.tls_listen {
        let stack = stacks.iter().find(|stack| stack.address.is_ipv4() == address.is_ipv4());
        let stack = stack
            .ok_or_else(|| StartError::Tls(format!("{address} has no listener of its family beside it")))?;
        tls_addresses.push(
            stack.listen_by_tls(*address, &settings, &tls, &trunks, &streams, stop.child_token()).await?,
        );
    }
    let shared = Arc::new(Shared {
        tls,
        tls_addresses,
        streams,
        stacks: stacks.clone(),
        dialogs,
        answers,
        challenges: Challenges::default(),
        farewells,
        trunks,
        dropped,
        names,
        draining: AtomicBool::new(false),
        partings: TaskTracker::new(),
        randomness,
        settings,
        stop,
    });
    let (invitations, invited) = mpsc::channel(WAITING);
    for (stack, transactions) in stacks.into_iter().zip(incoming) {
        tokio::spawn(take_in(Arc::clone(&shared), stack, transactions, invitations.clone()));
    }
    tokio::spawn(probe::keep_asking(Arc::clone(&shared)));
    tokio::spawn(register::keep_registered(Arc::clone(&shared)));
    Ok((Sip { shared }, invited))
}

impl Sip {
    /// Where SIP really listens, in the order of the settings: a port 0 is another one by then.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.shared.stacks.iter().map(|stack| stack.address).collect()
    }

    /// Where SIP listens by TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.shared.tls_addresses.clone()
    }

    /// Takes these trunks in the place of those before. Calls that stand are not touched. Registrations that are not
    /// wanted any more are given up, which is not waited for.
    pub fn adopt(&self, trunks: Vec<Trunk>) {
        self.let_go(self.shared.trunks.adopt(trunks));
    }

    /// Takes no new calls from here on: they are told 503, and OPTIONS too. Those in progress go on. Where we have
    /// registered we give up being called.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.let_go(self.shared.trunks.give_up_all());
    }

    fn let_go(&self, registered: Vec<Registered>) {
        if registered.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.shared.partings.spawn(async move { register::give_up(&shared, registered).await });
    }

    /// Asks every address of a trunk whether it is there.
    pub async fn probe(&self, trunk: &Trunk) -> Vec<Probed> {
        probe::all(&self.shared, trunk).await
    }

    /// How much is in flight.
    pub fn counts(&self) -> Counts {
        let stats: Vec<_> = self.shared.stacks.iter().map(|stack| stack.endpoint.get_stats()).collect();
        Counts {
            dialogs: self.shared.dialogs.len()
                + self.shared.stacks.iter().map(|stack| stack.layer.len()).sum::<usize>(),
            transactions: stats.iter().map(|s| s.running_transactions).sum(),
            finished: stats.iter().map(|s| s.finished_transactions).sum(),
        }
    }

    /// How the trunks stand.
    pub fn trunk_figures(&self) -> Vec<TrunkFigures> {
        self.shared.trunks.figures(Instant::now())
    }

    /// How many connections peers have made to us.
    pub fn connections(&self) -> usize {
        self.shared.streams.count()
    }

    /// Datagrams that were not let in since the start, by why.
    pub fn dropped(&self) -> Vec<(KeptOut, u64)> {
        self.shared.dropped.all()
    }

    /// Waits until all registrars have heard that we go, or had time enough to.
    pub async fn parted(&self) {
        self.shared.partings.close();
        self.shared.partings.wait().await;
    }

    /// Ends SIP at once: the sockets are closed.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

#[async_trait]
impl Port for Sip {
    fn encrypts(&self, to: PhoneNumber, show: PhoneNumber) -> Encryption {
        let ways = self.shared.trunks.route(to, show);
        ways.first().map_or(Encryption::Off, |way| way.encryption())
    }

    async fn dial(&self, dial: Dial) -> Leg {
        outbound::dial(Arc::clone(&self.shared), dial)
    }
}

impl Shared {
    /// Where to send from, to reach an address.
    fn stack_towards(&self, address: IpAddr) -> Option<&Arc<Stack>> {
        self.stacks.iter().find(|stack| stack.address.is_ipv4() == address.is_ipv4())
    }

    /// The addresses of a target, in the order to try them: of a name, those of families that we have.
    async fn addresses(&self, target: &Target, transport: Transport) -> Vec<SocketAddr> {
        let mut addresses = self.names.addresses(target, transport).await;
        if target.host.parse::<IpAddr>().is_err() {
            addresses.retain(|address| self.stack_towards(address.ip()).is_some());
        }
        addresses
    }

    /// Sees to it that a target can be sent to: by TLS, that there is a connection to somebody of its name.
    async fn prepare(&self, stack: &Stack, trunk: &Trunk, target: &Target, address: SocketAddr) -> bool {
        if trunk.transport != Transport::Tls {
            return true;
        }
        let connected = self.tls.connect(&stack.endpoint, target, address, &self.stop).await;
        if let Err(error) = &connected {
            tracing::warn!(trunk = %trunk.name, "no connection to {target} by TLS: {error}");
        }
        connected.is_ok()
    }

    /// A token that nobody can guess, and that says nothing.
    fn token(&self) -> String {
        let mut bytes = [0; 16];
        (self.randomness)().fill_bytes(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A response that the library's dialogue would not make: with this tag of ours.
    fn respond(&self, request: &Request, status: StatusCode, tag: &str) -> Response {
        let mut response = self.stacks[0].endpoint.make_response(request, status, None);
        for header in response.headers.iter_mut() {
            if let Header::To(to) = header
                && !to.value().contains(";tag=")
            {
                *to = format!("{};tag={tag}", to.value()).into();
            }
        }
        response
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Takes in the requests of one stack, until SIP ends.
async fn take_in(
    shared: Arc<Shared>,
    stack: Arc<Stack>,
    mut transactions: TransactionReceiver,
    invitations: mpsc::Sender<Invitation>,
) {
    while let Some(transaction) = transactions.recv().await {
        let in_dialog = transaction.original.to_header().is_ok_and(|to| to.tag().is_ok_and(|t| t.is_some()));
        match in_dialog {
            true => within(&shared, transaction),
            false => begin(&shared, &stack, transaction, &invitations),
        }
    }
}

/// A request within a dialogue: the leg's task hears of it from the library.
fn within(shared: &Arc<Shared>, mut transaction: Transaction) {
    let shared = Arc::clone(shared);
    let found = shared.dialogs.find(&transaction.original);
    tokio::spawn(async move {
        let Some(mut dialog) = found else {
            reply(&mut transaction, StatusCode::CallTransactionDoesNotExist).await;
            return;
        };
        if transaction.original.method == Method::Info {
            acknowledgement(&dialog).await;
        }
        match transaction.original.method {
            Method::Bye => {}
            Method::PRack => {
                acknowledged(&shared, transaction).await;
                return;
            }
            Method::Invite | Method::Update | Method::Info | Method::Options | Method::Refer
                if dialog.state().is_confirmed() => {}
            // What the library would leave without an answer: we are not ready for another offer yet.
            Method::Invite | Method::Update => {
                reply(&mut transaction, StatusCode::RequestPending).await;
                return;
            }
            Method::Info | Method::Options | Method::Ack | Method::Cancel => {
                reply(&mut transaction, StatusCode::OK).await;
                return;
            }
            Method::Refer => {
                reply(&mut transaction, StatusCode::Decline).await;
                return;
            }
            Method::Message | Method::Notify | Method::Publish | Method::Register | Method::Subscribe => {
                not_allowed(&mut transaction).await;
                return;
            }
        }
        if let Err(error) = dialog.handle(&mut transaction).await {
            tracing::debug!(kind = %transaction.original.method, "a request within a call failed: {}", kind(&error));
        }
    });
}

/// Waits a moment for the acknowledgement of our answer: a key that is told right after it may overtake it, and would be
/// lost.
async fn acknowledgement(dialog: &InviteDialog) {
    for _ in 0..50 {
        if !matches!(dialog.state(), DialogState::WaitAck(..)) {
            return;
        }
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(20)).await;
    }
}

/// A PRACK: the leg's task waits for it, or has waited when the call was answered before it came (RFC 3262 section 3).
async fn acknowledged(shared: &Shared, mut transaction: Transaction) {
    let Some(pracks) = shared.dialogs.pracks_of(&transaction.original) else {
        return reply(&mut transaction, StatusCode::CallTransactionDoesNotExist).await;
    };
    if let Err(mpsc::error::SendError(mut transaction)) = pracks.send(Box::new(transaction)).await {
        reply(&mut transaction, StatusCode::OK).await;
    }
}

/// A request that belongs to no dialogue.
fn begin(
    shared: &Arc<Shared>,
    stack: &Arc<Stack>,
    mut transaction: Transaction,
    invitations: &mpsc::Sender<Invitation>,
) {
    // Whoever is no trunk hears nothing at all.
    let source = inbound::source(&transaction);
    let Some((source, way)) = source.and_then(|s| Some((s, shared.trunks.calling_from(s)?))) else { return };
    // Nor does a trunk that is to show a certificate, and comes without one.
    if !way.trunk.certificate_names.is_empty() && standing::carried(&transaction) != Transport::Tls {
        return;
    }
    match transaction.original.method {
        Method::Invite => inbound::invite(shared, stack, &way, source, transaction, invitations),
        Method::Options => {
            let status = match shared.is_draining() {
                true => StatusCode::ServiceUnavailable,
                false => StatusCode::OK,
            };
            let retry_after = shared.settings.retry_after;
            tokio::spawn(async move {
                let mut headers = vec![
                    Header::Allow(ALLOWED.into()),
                    Header::Accept("application/sdp".into()),
                    inbound::supported(),
                ];
                if status == StatusCode::ServiceUnavailable {
                    headers.push(Header::RetryAfter(retry_after.to_string().into()));
                }
                settle(transaction.reply_with(status, headers, None).await);
            });
        }
        // An ACK is answered by nobody, and the library answers a CANCEL.
        Method::Ack | Method::Cancel => {}
        Method::Bye | Method::Info | Method::Update | Method::PRack | Method::Notify | Method::Refer => {
            tokio::spawn(
                async move { reply(&mut transaction, StatusCode::CallTransactionDoesNotExist).await },
            );
        }
        Method::Message | Method::Publish | Method::Register | Method::Subscribe => {
            tokio::spawn(async move { not_allowed(&mut transaction).await });
        }
    }
}

async fn not_allowed(transaction: &mut Transaction) {
    let allow = vec![Header::Allow(ALLOWED.into())];
    settle(transaction.reply_with(StatusCode::MethodNotAllowed, allow, None).await);
}

async fn reply(transaction: &mut Transaction, status: StatusCode) {
    settle(transaction.reply(status).await);
}

/// A reply that cannot be sent is not sent: its peer asks again, or is gone.
fn settle(sent: rsipstack::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!("a reply was not sent: {}", kind(&error));
    }
}

/// What kind of error the library met, without what it met it with, which may hold a number.
fn kind(error: &rsipstack::Error) -> &'static str {
    use rsipstack::Error;
    match error {
        Error::SipMessageError(_) => "the message",
        Error::DnsResolutionError(_) => "the name",
        Error::TransportLayerError(..) => "the transport",
        Error::TransactionError(..) => "the transaction",
        Error::EndpointError(_) => "the endpoint",
        Error::DialogError(..) => "the dialogue",
        Error::IoError(_) => "the socket",
        Error::AddrParseError(_) => "the address",
        Error::Error(_) => "another",
    }
}

/// The library's word for what carries messages.
fn carried_by(transport: Transport) -> rsipstack::sip::Transport {
    match transport {
        Transport::Udp => rsipstack::sip::Transport::Udp,
        Transport::Tcp => rsipstack::sip::Transport::Tcp,
        Transport::Tls => rsipstack::sip::Transport::Tls,
    }
}
