//! The telephone side of a server: SIP, sound, and the switchboard between them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callveil_domain::call::course::Recording;
use callveil_domain::node::Node;
use callveil_domain::tenant::Directory;
use callveil_domain::trunk::Trunk;
use callveil_voice::driver::Switchboard;
use callveil_voice::figures;
use callveil_voice::leg::Port;
use callveil_voice::media::Engine;
use callveil_voice::media::prompt::Prompts;
use callveil_voice::media::relay::{self, Relay};
use callveil_voice::media::rtpengine::{self, Rtpengine};
use callveil_voice::media::stream::Sources;
use callveil_voice::sip::{self, Sip, StartError};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock::{generator, randomness};
use crate::config::{Config, Listen, MediaEngine, SoundSources};
use crate::error::CommandError;
use crate::installation::Installation;

use super::recordings::{self, Kept};

/// How often trunks are looked at, and requests to hang up while calls go on.
const LOOK: Duration = Duration::from_millis(500);

/// How long the ends of calls that are cut off are waited for: their telephones are told, and they are written down.
const CUTTING_OFF: Duration = Duration::from_secs(5);

/// The telephone side, while it runs.
pub struct Telephone {
    /// `None` where no address takes calls.
    line: Option<Line>,
}

struct Line {
    sip: Sip,
    board: Arc<Switchboard>,
    engine: Arc<dyn Engine>,
    _work: JoinSet<()>,
}

impl Telephone {
    /// Listens for calls, if the configuration names an address for them.
    pub async fn start(
        at: &Installation,
        config: &Config,
        kept: Option<&Kept>,
    ) -> Result<Telephone, CommandError> {
        let listen: Vec<SocketAddr> =
            config.sip.listen.values().iter().map(|l| Listen::address(*l)).collect();
        if listen.is_empty() {
            return Ok(Telephone { line: None });
        }
        let directory = at.node.directory();
        can_record(config, &directory)?;
        let settings = sip::Settings {
            listen,
            public: config.sip.public.values().to_vec(),
            calls: config.sip.calls.get(),
            retry_after: RETRY_AFTER,
            t1: None,
            tls_listen: config.sip.tls_listen.values().iter().map(|l| Listen::address(*l)).collect(),
            identity: identity(config)?,
            authorities: config.sip.authorities.path().map(read).transpose()?,
        };
        let trunks = Trunks { written: config.trunks.clone() };
        let started = sip::start(settings, trunks.with(&directory), randomness()).await;
        let (sip, invitations) = started.map_err(|e| not_listening(&e))?;

        let engine: Arc<dyn Engine> = match config.media.engine {
            MediaEngine::Relay => Arc::new(Relay::new(sound(&sip, config, kept)?, Box::new(generator()))),
            MediaEngine::Rtpengine => Arc::new(rtpengine(config).await?),
        };
        let port: Arc<dyn Port> = Arc::new(sip.clone());
        let board = Switchboard::new(Arc::clone(&at.node), at.node.id(), port, Arc::clone(&engine));
        let mut work = JoinSet::new();
        work.spawn(Arc::clone(&board).serve(invitations));
        work.spawn(hang_up_on_request(Arc::clone(&at.node), Arc::clone(&board)));
        work.spawn(follow_trunks(Arc::clone(&at.node), trunks, directory.revision, sip.clone()));
        if let Some(kept) = kept {
            let retention = config.media.recording_retention;
            work.spawn(recordings::tidy(Arc::clone(&at.node), kept.recordings.clone(), retention));
        }
        Ok(Telephone { line: Some(Line { sip, board, engine, _work: work }) })
    }

    /// Registers the figures of calls.
    pub fn register(&self, registry: &mut Registry) {
        if let Some(Line { sip, board, engine, _work }) = &self.line {
            figures::register(registry, board.figures(), sip, Arc::clone(engine));
        }
    }

    /// Where calls really come in.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.line.as_ref().map(|line| line.sip.addresses()).unwrap_or_default()
    }

    /// Where calls really come in by TLS.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        self.line.as_ref().map(|line| line.sip.tls_addresses()).unwrap_or_default()
    }

    /// Takes no new calls from here on.
    pub fn drain(&self) {
        if let Some(line) = &self.line {
            line.sip.drain();
        }
    }

    /// Waits until no call goes on.
    pub async fn idle(&self) {
        if let Some(line) = &self.line {
            line.board.idle().await;
        }
    }

    /// Ends the calls that go on, and then SIP.
    pub async fn stop(self) {
        let Some(line) = self.line else { return };
        line.board.hang_up_all();
        if timeout(CUTTING_OFF, line.board.idle()).await.is_err() {
            tracing::warn!(
                calls = line.board.calls(),
                "some calls are cut off before their telephones answered"
            );
        }
        line.sip.parted().await;
        line.sip.stop();
    }
}

/// Refuses to start where a tenant's calls are to be recorded and cannot be: nobody would notice until a recording is
/// looked for.
fn can_record(config: &Config, directory: &Directory) -> Result<(), CommandError> {
    let Some(why) = config.media.records_nothing() else { return Ok(()) };
    let recorded = directory.tenants().find(|tenant| tenant.settings.call.recording != Recording::Off);
    match recorded.map(|tenant| &tenant.sid) {
        None => Ok(()),
        Some(sid) => Err(CommandError::new(format!("recording the calls of {sid}"), why).fix(format!(
            "`callveil settings set --tenant {sid} recording=off`, or set media.engine to relay and media.recordings to a directory"
        ))),
    }
}

/// Who we are by TLS.
fn identity(config: &Config) -> Result<Option<sip::Identity>, CommandError> {
    match (config.sip.certificate.path(), config.sip.key.path()) {
        (Some(certificate), Some(key)) => {
            Ok(Some(sip::Identity { certificate: read(certificate)?, key: read(key)? }))
        }
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            Err(CommandError::new("listening for calls", "sip.certificate and sip.key go together"))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    fs::read(path).map_err(|e| CommandError::new(format!("reading {}", path.display()), e))
}

/// After how many seconds a carrier that is told 503 may come again.
const RETRY_AFTER: u32 = 5;

fn not_listening(error: &StartError) -> CommandError {
    CommandError::new("listening for calls", error.to_string())
        .fix("stop what uses the address, or name others with CALLVEIL_SIP_LISTEN=ADDRESS:PORT,...")
}

/// How sound is carried: where calls come in, unless another place is named.
fn sound(sip: &Sip, config: &Config, kept: Option<&Kept>) -> Result<relay::Config, CommandError> {
    let media = &config.media;
    let mut listen: Vec<IpAddr> = media.listen.values().to_vec();
    if listen.is_empty() {
        listen = sip.addresses().iter().map(SocketAddr::ip).collect();
        listen.dedup();
    }
    let public: Vec<IpAddr> =
        media.public.values().iter().chain(config.sip.public.values()).copied().collect();
    let addresses = listen.into_iter().map(|bind| {
        let external = public.iter().copied().find(|ip| ip.is_ipv4() == bind.is_ipv4()).unwrap_or(bind);
        if external.is_unspecified() {
            let doing = format!("telling telephones where to send sound, which comes in on {bind}");
            return Err(CommandError::new(doing, "that is no address that a packet can be sent to")
                .fix("name this machine's address with CALLVEIL_MEDIA_PUBLIC"));
        }
        Ok(relay::Address { bind, external })
    });
    Ok(relay::Config {
        addresses: addresses.collect::<Result<_, _>>()?,
        ports: Some(media.ports.range()),
        sources: match media.sources {
            SoundSources::Described => Sources::Described,
            SoundSources::First => Sources::First,
        },
        silence: media.silence,
        prompts: prompts(config),
        recorder: kept.map(|kept| kept.recorder.clone()),
    })
}

fn prompts(config: &Config) -> Prompts {
    Prompts { directory: config.media.prompts.path().map(Path::to_owned) }
}

/// The lines to an rtpengine, which answers on them.
async fn rtpengine(config: &Config) -> Result<Rtpengine, CommandError> {
    let (orders, digits) = (config.media.rtpengine.address(), config.media.rtpengine_keys.address());
    let silence = config.media.silence;
    let settings = rtpengine::Config { orders, digits, prompts: prompts(config), silence };
    let doing = || format!("reaching rtpengine at {orders}");
    let failed = |why: &dyn std::fmt::Display| {
        CommandError::new(doing(), why.to_string())
            .fix(format!("start it with --listen-ng={orders} --dtmf-log-dest={digits}"))
    };
    let engine = Rtpengine::connect(settings, Box::new(generator())).await.map_err(|why| failed(&why))?;
    engine.ping().await.map_err(|why| failed(&why))?;
    Ok(engine)
}

/// The trunks of the configuration file, which stay as they are.
struct Trunks {
    written: Vec<Trunk>,
}

impl Trunks {
    /// Those of the directory too. One of a name that is in both is the file's.
    fn with(&self, directory: &Directory) -> Vec<Trunk> {
        let is_written = |trunk: &&Trunk| self.written.iter().any(|written| written.name == trunk.name);
        let kept = directory.trunks().iter().filter(|trunk| !is_written(trunk));
        self.written.iter().chain(kept).cloned().collect()
    }
}

/// Takes up the trunks as they change.
async fn follow_trunks(node: Arc<Node>, trunks: Trunks, mut known: u64, sip: Sip) {
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let directory = node.directory();
        if directory.revision != known {
            known = directory.revision;
            sip.adopt(trunks.with(&directory));
        }
    }
}

/// Ends the calls that somebody has asked to end, by whichever node.
async fn hang_up_on_request(node: Arc<Node>, board: Arc<Switchboard>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if board.calls() == 0 {
            continue;
        }
        // A store that cannot be read is told of by those who need it more.
        for call in node.store().hangups(node.id()).await.unwrap_or_default() {
            board.hang_up(call);
        }
    }
}
