//! A trunk: the way by which calls come from, and go to, a carrier.
//!
//! What is said of a trunk is said in settings, each read from and written to text by one table, so that the
//! configuration file, the command line and the database agree about each.

mod dialling;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::country::Country;
use crate::number::PhoneNumber;

pub use dialling::{Form, Rewrite};
pub use settings::{TrunkRefused, TrunkSetting};

/// An operator's name for a trunk: 1 to 32 letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkName(String);

impl TrunkName {
    /// Reads a name.
    pub fn parse(text: &str) -> Option<TrunkName> {
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        let named = (1..=32).contains(&text.len()) && text.bytes().all(fits);
        named.then(|| TrunkName(text.to_owned()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A way to and from a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// The operator's name for it.
    pub name: TrunkName,
    /// Where its calls come from. Whoever comes from elsewhere is not answered at all.
    pub sources: Vec<IpNet>,
    /// The names one of which the peer's certificate must carry, beside coming from a source; empty asks for none.
    pub certificate_names: Vec<String>,
    /// What its calls must prove that they know (RFC 8760), if anything.
    pub accepts: Option<Login>,
    /// Where calls are sent, the next when one fails. Empty: the trunk only receives.
    pub targets: Vec<Target>,
    /// What carries the messages that we send first.
    pub transport: Transport,
    /// The domain that stands in the addresses we write; `None` writes the target's own host.
    pub domain: Option<String>,
    /// What we prove to it that we know, if it asks.
    pub login: Option<Login>,
    /// For how long we register at a time (RFC 3261 10.2); `None` registers not at all.
    pub register: Option<Duration>,
    /// The country against which national numbers are read and written.
    pub country: Country,
    /// How numbers are written in what we send.
    pub form: Form,
    /// What is replaced at the front of a number that came, before it is read.
    pub read_rules: Vec<Rewrite>,
    /// What is replaced at the front of a number that we send, after it was written.
    pub dial_rules: Vec<Rewrite>,
    /// In which header the network vouches for numbers.
    pub identity: Identity,
    /// The most calls at a time in both directions together; 0 is no limit.
    pub calls: u32,
    /// The most new calls in a second in both directions together; 0 is no limit.
    pub calls_per_second: u32,
    /// Trunks of a lower rank are tried first.
    pub rank: u16,
    /// Destinations it is used for, as digits from the country code on; the longest that fits wins, and empty fits all.
    pub destinations: Vec<String>,
    /// Virtual numbers it is used for, as digits from the country code on; empty fits all.
    pub shown: Vec<String>,
    /// How often OPTIONS asks whether it is there; `None` asks never, and failures of calls alone tell.
    pub probe: Option<Duration>,
    /// Whether sound is encrypted on it.
    pub media: Media,
}

/// A user name and a password, as digest authentication takes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(...)")
    }
}

/// A password. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a password.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The password itself, for the wire and the database only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// A host that calls are sent to. Without a port, DNS is asked for the service (RFC 3263).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// An address or a name.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

impl Target {
    /// Reads `host`, `host:port`, `address` or `[address]:port`.
    pub fn parse(text: &str) -> Option<Target> {
        if let Ok(address) = text.parse::<std::net::SocketAddr>() {
            return Some(Target { host: address.ip().to_string(), port: Some(address.port()) });
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Target { host: address.to_string(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|p| *p > 0)?)),
            None => (text, None),
        };
        is_host_name(host).then(|| Target { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':') && self.port.is_some();
        match bracketed {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// What carries SIP messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
}

impl Transport {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// In which header the network vouches for numbers, read from what comes and written in what we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// P-Asserted-Identity (RFC 3325), and From where there is none.
    Asserted,
    /// From.
    From,
}

/// How sound is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// In clear (RTP).
    Clear,
    /// Encrypted with keys told in the description (SRTP with SDES, RFC 4568).
    Encrypted,
}

impl Trunk {
    /// A trunk of this name of which nothing is said yet.
    pub fn new(name: TrunkName) -> Trunk {
        Trunk {
            name,
            sources: Vec::new(),
            certificate_names: Vec::new(),
            accepts: None,
            targets: Vec::new(),
            transport: Transport::Udp,
            domain: None,
            login: None,
            register: None,
            country: Country::INDIA,
            form: Form::Plus,
            read_rules: Vec::new(),
            dial_rules: Vec::new(),
            identity: Identity::Asserted,
            calls: 0,
            calls_per_second: 0,
            rank: 100,
            destinations: Vec::new(),
            shown: Vec::new(),
            probe: Some(Duration::from_secs(60)),
            media: Media::Clear,
        }
    }

    /// Do its calls come from here?
    pub fn receives_from(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.sources.iter().any(|network| network.contains(&source))
    }

    /// How well it suits a call to `to` that shows `show`: the digits of the destination that decided; `None` when it
    /// is not for such calls.
    pub fn suits(&self, to: PhoneNumber, show: PhoneNumber) -> Option<usize> {
        if self.targets.is_empty() || longest(&self.shown, show).is_none() {
            return None;
        }
        longest(&self.destinations, to)
    }
}

/// The length of the longest of these prefixes that the number begins with; none at all fit every number.
fn longest(prefixes: &[String], number: PhoneNumber) -> Option<usize> {
    if prefixes.is_empty() {
        return Some(0);
    }
    let digits = number.expose_digits().to_string();
    prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str())).map(String::len).max()
}

/// The trunks to try for a call, in their order: the longest destination first, then the lowest rank, then by name.
pub fn route<'a>(
    trunks: impl IntoIterator<Item = &'a Trunk>,
    to: PhoneNumber,
    show: PhoneNumber,
) -> Vec<&'a Trunk> {
    let mut fitting: Vec<(usize, &Trunk)> =
        trunks.into_iter().filter_map(|trunk| Some((trunk.suits(to, show)?, trunk))).collect();
    fitting.sort_by(|(a_length, a), (b_length, b)| {
        b_length.cmp(a_length).then(a.rank.cmp(&b.rank)).then_with(|| a.name.cmp(&b.name))
    });
    fitting.into_iter().map(|(_, trunk)| trunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(digits: u64) -> PhoneNumber {
        PhoneNumber::from_digits(digits).unwrap()
    }

    fn trunk(name: &str, settings: &[(&str, &str)]) -> Trunk {
        let mut trunk = Trunk::new(TrunkName::parse(name).unwrap());
        for (setting, value) in settings {
            trunk.set(setting, value).unwrap();
        }
        trunk
    }

    #[test]
    fn a_target_is_read_and_written_back() {
        let check = |text: &str, written: Option<&str>| {
            assert_eq!(Target::parse(text).map(|t| t.to_string()).as_deref(), written, "{text}");
        };
        check("sip.example.com", Some("sip.example.com"));
        check("SIP.example.com:5061", Some("sip.example.com:5061"));
        check("192.0.2.1", Some("192.0.2.1"));
        check("192.0.2.1:5080", Some("192.0.2.1:5080"));
        check("2001:db8::1", Some("2001:db8::1"));
        check("[2001:db8::1]:5060", Some("[2001:db8::1]:5060"));
        check("", None);
        check("host:0", None);
        check("host:99999", None);
        check("two hosts", None);
        check("sip:host", None);
    }

    #[test]
    fn calls_are_received_from_the_sources_alone() {
        let trunk = trunk("one", &[("sources", "192.0.2.0/24, 2001:db8::1")]);

        assert!(trunk.receives_from("192.0.2.77".parse().unwrap()));
        assert!(
            trunk.receives_from("::ffff:192.0.2.77".parse().unwrap()),
            "as a socket of both families tells it"
        );
        assert!(trunk.receives_from("2001:db8::1".parse().unwrap()));
        assert!(!trunk.receives_from("192.0.3.1".parse().unwrap()));
        assert!(!trunk.receives_from("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn the_longest_destination_goes_first_and_then_the_lowest_rank() {
        let all = trunk("all", &[("targets", "192.0.2.1"), ("rank", "1")]);
        let second = trunk("second", &[("targets", "192.0.2.2"), ("rank", "2")]);
        let india = trunk("india", &[("targets", "192.0.2.3"), ("destinations", "91, 9198")]);
        let america = trunk("america", &[("targets", "192.0.2.4"), ("destinations", "1")]);
        let inbound = trunk("inbound", &[("sources", "192.0.2.5")]);
        let others = trunk("others", &[("targets", "192.0.2.6"), ("shown", "44")]);
        let trunks = [&inbound, &second, &america, &india, &all, &others];

        let order = route(trunks, number(919_812_345_678), number(12_025_550_100));

        let names: Vec<&str> = order.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["india", "all", "second"]);
    }

    #[test]
    fn secrets_are_not_printed() {
        let trunk =
            trunk("one", &[("user", "callveil"), ("password", "hunter2"), ("accept_password", "hunter3")]);
        assert!(!format!("{trunk:?}").contains("hunter"));
    }
}
