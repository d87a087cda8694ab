//! `callveil trial-call`: a call through the running server, with both telephones played by this command.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use callveil_domain::country::Country;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_domain::{Effect, Failure, admin};
use clap::Args;
use rand::RngExt;
use serde::Serialize;

use crate::clock::generator;
use crate::command::{Ending, Listeners, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;
use crate::trial::called::Called;
use crate::trial::caller::Caller;
use crate::trial::ladder::{Ladder, Rung, Who};
use crate::trial::telephone::{Telephone, token};

/// Make a masked call through the running server and show what both telephones said
///
/// Plays the caller and the called on loopback, by a trunk that is added for the call and removed after it. The call is
/// a real one: it is decided, recorded and told to the tenant like any other.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil trial-call --from +919900000011 --to +918000000001
  callveil trial-call --from withheld --to +918000000001 --pin 483920
  callveil trial-call --from +919900000011 --to +918000000001 --busy --json | jq -r .status")]
pub struct TrialCall {
    /// Who calls; 'withheld' for a caller whose number is not shown
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// The virtual number that is dialled
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// What the caller keys when the call is answered before anybody was rung
    #[arg(long, value_name = "DIGITS", value_parser = Pin::parse)]
    pin: Option<Pin>,
    /// Whoever is rung is busy
    #[arg(long)]
    busy: bool,
    /// Where the server listens for calls [default: the first of sip.listen]
    #[arg(long, value_name = "ADDRESS:PORT")]
    sip: Option<SocketAddr>,
}

impl TrialCall {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let config = options.configuration(Listeners::default())?;
        let listens = config.sip.listen.values().first().map(|listen| listen.address());
        let server = self.sip.or(listens).ok_or_else(|| {
            CommandError::new("calling", "no address takes calls").fix("name it with --sip ADDRESS:PORT")
        })?;
        options.on_installation(Missing::Refuse, async |at| {
            let call = self.plan(at, server)?;
            let ladder = Ladder::new();
            let failed = |e: io::Error| CommandError::new(DOING, e);
            let called = Called::new(ladder.clone()).map_err(failed)?;
            let calling = Telephone::new(Who::A, source(server), ladder.clone()).map_err(failed)?;
            let trunk = trunk(&call, calling.address(), called.telephone.address());
            let name = trunk.name.clone();
            put(at.act(Effect::Keep, async |ctx| admin::put_trunk(ctx, trunk).await).await)?;
            let story =
                known(server, calling.address().ip()).and_then(|()| call.make(ladder, calling, called));
            put(at.act(Effect::Keep, async |ctx| admin::remove_trunk(ctx, name).await).await)?;
            let story = story.map_err(failed)?;
            if story.status.is_none() {
                return Err(CommandError::new(DOING, format!("nothing answers at {server}")).fix(
                    "start the server with `callveil serve`, or name its address with --sip ADDRESS:PORT",
                ));
            }
            out.show(&story)?;
            Ok(if story.connected { Ending::Done } else { Ending::Refused })
        })
    }

    fn plan(&self, at: &Installation, server: SocketAddr) -> Result<Call, CommandError> {
        let read = |name: &str, text: &str, country| {
            PhoneNumber::parse(text, country).map_err(|why| {
                CommandError::new(format!("reading {name}"), why)
                    .fix("write it as +<country code><number>, or --from withheld")
            })
        };
        let to = read("--to", &self.to, Country::INDIA)?;
        let country = at.node.directory().owner(to).map_or(Country::INDIA, |t| t.settings.country);
        let from = match self.from.as_str() {
            "withheld" => None,
            text => Some(read("--from", text, country)?),
        };
        Ok(Call { server, from, to, pin: self.pin, busy: self.busy })
    }
}

const DOING: &str = "making the trial call";

/// An address of loopback that no other trial call has: the server answers it only once it knows this call's trunk, and
/// so has forgotten that of the call before.
fn source(server: SocketAddr) -> Ipv4Addr {
    let [b, c, d] = generator().random::<[u8; 3]>();
    let own = Ipv4Addr::new(127, b, c, d.clamp(1, 254));
    let usable = server.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && UdpSocket::bind((own, 0)).is_ok();
    if usable { own } else { Ipv4Addr::LOCALHOST }
}

/// Waits until the server knows the trunk, as far as one can see from outside: nodes look for new trunks four times a
/// second, and until then a caller is a stranger to them.
fn known(server: SocketAddr, source: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((source, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let here = socket.local_addr()?;
    for _ in 0..40 {
        let name = token();
        let options = format!(
            "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{name}\r\nMax-Forwards: 70\r\n\
             From: <sip:trial@{here}>;tag={name}\r\nTo: <sip:{server}>\r\nCall-ID: {name}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        socket.send_to(options.as_bytes(), server)?;
        if socket.recv(&mut [0; 2_048]).is_ok() {
            break;
        }
    }
    Ok(())
}

/// A trunk for this call alone: what comes from the caller, and what shows the virtual number.
fn trunk(call: &Call, caller: SocketAddr, called: SocketAddr) -> Trunk {
    let name = TrunkName::parse(&format!("trial-{}", token())).expect("law: a token is a name");
    let mut trunk = Trunk::new(name);
    let settings = [
        ("sources", caller.ip().to_string()),
        ("targets", called.to_string()),
        ("shown", call.to.expose_digits().to_string()),
        ("probe", "off".to_owned()),
        ("rank", "0".to_owned()),
    ];
    for (name, value) in settings {
        trunk.set(name, &value).expect("law: these settings are well formed");
    }
    trunk
}

fn put<E: fmt::Debug>(done: Result<(), Failure<E>>) -> Result<(), CommandError> {
    done.map_err(|failure| match failure {
        Failure::Store(error) => CommandError::store(DOING, &error),
        Failure::Refused(why) => CommandError::new(DOING, format!("the trunk is refused: {why:?}")),
    })
}

/// The call to make.
struct Call {
    server: SocketAddr,
    from: Option<PhoneNumber>,
    to: PhoneNumber,
    pin: Option<Pin>,
    busy: bool,
}

/// How much sound each side sends: half a second of it.
const PACKETS: u16 = 25;

/// What the sound of each side is made of.
const SAYS: [u8; 2] = [0x55, 0x2a];

impl Call {
    fn make(&self, ladder: Ladder, calling: Telephone, called: Called) -> io::Result<Story> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, answered) = mpsc::channel();
        let busy = self.busy;
        let b = thread::spawn(move || be_called(called, busy, &ready, &stopped));
        let spoken = self.call(calling, &answered);
        drop(stop);
        let b = b.join().map_err(|_| io::Error::other("the called telephone ended by a defect"))??;
        let a = spoken?;

        let digits = |number: Option<PhoneNumber>| number.map(|n| n.expose_digits().to_string());
        let caller = digits(self.from);
        let hidden = |received: &[Vec<u8>], digits: Option<&str>| {
            digits.is_none_or(|digits| !received.iter().any(|m| String::from_utf8_lossy(m).contains(digits)))
        };
        let seen = b.shown.clone();
        Ok(Story {
            connected: a.talked && b.talked,
            status: a.status,
            shown: seen,
            caller_hidden: hidden(&b.received, caller.as_deref()),
            called_hidden: hidden(&a.received, b.rang.as_deref()),
            heard: [a.heard, b.heard],
            ladder: ladder.rungs(),
            drawn: ladder.to_string(),
        })
    }

    fn call(&self, calling: Telephone, answered: &mpsc::Receiver<()>) -> io::Result<Side> {
        let from = self.from.map(|number| number.expose().to_string());
        let to = self.to.expose().to_string();
        let mut caller = Caller::begin_at(calling, self.server, from.as_deref(), &to)?;
        let mut side = Side::default();
        let Some(answer) = caller.last_response()? else { return Ok(side) };
        side.status = answer.status();
        if side.status == Some(200)
            && let Some(sound) = answer.sound()
        {
            if let Some(pin) = self.pin {
                caller.telephone.press(sound, &format!("{}#", pin.expose_value()))?;
            }
            // Without an answer the server tells so and hangs up.
            if answered.recv_timeout(ANSWERING).is_ok() {
                side.heard = caller.telephone.talk(sound, PACKETS, SAYS[0], SAYS[1])?;
                side.talked = caller.hang_up()?;
            } else {
                caller.is_hung_up()?;
            }
        }
        side.received = std::mem::take(&mut caller.telephone.received);
        Ok(side)
    }
}

/// How long the called lets it ring.
const RINGING: Duration = Duration::from_millis(300);

/// How long the answer of the other telephone is waited for.
const ANSWERING: Duration = Duration::from_secs(15);

/// What one telephone has come to know.
#[derive(Default)]
struct Side {
    status: Option<u16>,
    talked: bool,
    heard: u16,
    shown: Option<String>,
    rang: Option<String>,
    received: Vec<Vec<u8>>,
}

fn be_called(
    mut called: Called,
    busy: bool,
    ready: &mpsc::Sender<()>,
    stopped: &mpsc::Receiver<()>,
) -> io::Result<Side> {
    let mut side = Side::default();
    let invite = loop {
        if let Some(invite) = called.invited_within(Duration::from_millis(100))? {
            break invite;
        }
        if matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Disconnected)) {
            return Ok(side);
        }
    };
    side.shown = invite.user("From").map(str::to_owned);
    side.rang = invite.user("To").map(|user| user.trim_start_matches('+').to_owned());
    if busy {
        called.says("486 Busy Here", false)?;
    } else {
        called.says("180 Ringing", false)?;
        called.rings_for(RINGING)?;
        called.says("200 OK", true)?;
        if called.hears("ACK")?.is_some()
            && let Some(sound) = invite.sound()
        {
            // The caller may have gone.
            let _ = ready.send(());
            side.heard = called.telephone.talk(sound, PACKETS, SAYS[1], SAYS[0])?;
            side.talked = called.hears("BYE")?.is_some();
        }
    }
    side.received = std::mem::take(&mut called.telephone.received);
    Ok(side)
}

/// What became of the call.
#[derive(Serialize)]
struct Story {
    /// Whether both talked.
    connected: bool,
    /// The last status that the caller was told.
    status: Option<u16>,
    /// The number that the called saw.
    shown: Option<String>,
    /// Whether the caller's number was in nothing that the called got.
    caller_hidden: bool,
    /// Whether the called's number was in nothing that the caller got.
    called_hidden: bool,
    /// The packets of sound that the caller and the called heard of each other.
    heard: [u16; 2],
    ladder: Vec<Rung>,
    #[serde(skip)]
    drawn: String,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.drawn)?;
        if self.connected {
            let hidden = |hidden: bool| if hidden { "hidden" } else { "SHOWN" };
            writeln!(f, "connected: the called saw {}", self.shown.as_deref().unwrap_or("no number"))?;
            writeln!(f, "  the caller's number was {} from the called", hidden(self.caller_hidden))?;
            writeln!(f, "  the called's number was {} from the caller", hidden(self.called_hidden))?;
            let [a, b] = self.heard;
            writeln!(f, "  sound: A heard {a} and B heard {b} of {PACKETS} packets")
        } else {
            let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            writeln!(f, "not connected: the caller was told {status}")
        }
    }
}
