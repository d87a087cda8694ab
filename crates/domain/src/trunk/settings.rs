//! The settings of a trunk: what each is called, which values it takes, and how it is told.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::dialling::{Form, Rewrite};
use super::{Identity, Login, Media, Secret, Target, Transport, Trunk, is_host_name};
use crate::country::Country;
use crate::time::{parse_length, write_length};

/// A setting's place in the table.
pub struct TrunkSetting {
    /// Its name, in the database and the configuration file; with hyphens on the command line.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Whether its value is shown to nobody.
    pub secret: bool,
    get: fn(&Trunk) -> String,
    set: fn(&mut Trunk, &str) -> Result<(), String>,
}

/// A value that a setting of a trunk does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrunkRefused {
    /// No setting has this name.
    #[error("a trunk has no setting '{name}'")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The value is not one of those it takes.
    #[error("{name} {why}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        why: String,
    },
    /// It leads nowhere and comes from nowhere.
    #[error("a trunk has sources, from which calls come, or targets, to which they are sent, or both")]
    Idle,
    /// A password without a name, or a name without a password.
    #[error("{user} and {password} go together")]
    HalfALogin {
        /// The setting of the name.
        user: &'static str,
        /// The setting of the password.
        password: &'static str,
    },
    /// Registering needs something to register with.
    #[error("register needs targets and a user")]
    NothingToRegister,
}

impl Trunk {
    /// Every setting, in the order in which they are shown.
    pub fn table() -> &'static [TrunkSetting] {
        TABLE
    }

    /// Sets one setting from its text. An empty text gives back the default where that is to have none.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), TrunkRefused> {
        let setting = TABLE.iter().find(|s| s.name == name);
        let setting = setting.ok_or_else(|| TrunkRefused::Unknown { name: name.to_owned() })?;
        (setting.set)(self, value.trim()).map_err(|why| TrunkRefused::Value { name: setting.name, why })
    }

    /// The text of one setting, as [`Trunk::set`] reads it: with a secret, the secret itself.
    pub fn text(&self, setting: &TrunkSetting) -> String {
        (setting.get)(self)
    }

    /// The settings that are not as a new trunk has them: what is kept of a trunk.
    pub fn said(&self) -> Vec<(&'static str, String)> {
        let silent = Trunk::new(self.name.clone());
        let said = TABLE.iter().map(|setting| (setting, (setting.get)(self)));
        said.filter(|(setting, text)| *text != (setting.get)(&silent))
            .map(|(setting, text)| (setting.name, text))
            .collect()
    }

    /// Whether its settings make a trunk together.
    pub fn complete(self) -> Result<Trunk, TrunkRefused> {
        let half = |login: &Option<Login>| {
            login.as_ref().is_some_and(|l| l.user.is_empty() || l.password.expose().is_empty())
        };
        if self.sources.is_empty() && self.targets.is_empty() {
            return Err(TrunkRefused::Idle);
        }
        if half(&self.login) {
            return Err(TrunkRefused::HalfALogin { user: "user", password: "password" });
        }
        if half(&self.accepts) {
            return Err(TrunkRefused::HalfALogin { user: "accept_user", password: "accept_password" });
        }
        if self.register.is_some() && (self.targets.is_empty() || self.login.is_none()) {
            return Err(TrunkRefused::NothingToRegister);
        }
        Ok(self)
    }
}

static TABLE: &[TrunkSetting] = &[
    TrunkSetting {
        name: "sources",
        about: "addresses and networks its calls come from, separated by commas",
        secret: false,
        get: |t| join(&t.sources),
        set: |t, v| list(v, network).map(|all| t.sources = all),
    },
    TrunkSetting {
        name: "certificate_names",
        about: "names one of which its certificate must carry when it calls by TLS",
        secret: false,
        get: |t| join(&t.certificate_names),
        set: |t, v| list(v, host).map(|all| t.certificate_names = all),
    },
    TrunkSetting {
        name: "accept_user",
        about: "the user name that its calls must prove (digest)",
        secret: false,
        get: |t| t.accepts.as_ref().map(|l| l.user.clone()).unwrap_or_default(),
        set: |t, v| word(v).map(|v| set_user(&mut t.accepts, v)),
    },
    TrunkSetting {
        name: "accept_password",
        about: "the password of accept_user",
        secret: true,
        get: |t| t.accepts.as_ref().map(|l| l.password.expose().to_owned()).unwrap_or_default(),
        set: |t, v| word(v).map(|v| set_password(&mut t.accepts, v)),
    },
    TrunkSetting {
        name: "targets",
        about: "hosts, with or without a port, that calls are sent to, in their order, separated by commas",
        secret: false,
        get: |t| join(&t.targets),
        set: |t, v| {
            let read = |text: &str| {
                Target::parse(text).ok_or("must be hosts or addresses, such as sip.example.com:5060")
            };
            list(v, |text| read(text).map_err(str::to_owned)).map(|all| t.targets = all)
        },
    },
    TrunkSetting {
        name: "transport",
        about: "udp, tcp or tls",
        secret: false,
        get: |t| t.transport.as_str().to_owned(),
        set: |t, v| {
            t.transport = one_of(v, &[Transport::Udp, Transport::Tcp, Transport::Tls], Transport::as_str)?;
            Ok(())
        },
    },
    TrunkSetting {
        name: "domain",
        about: "the domain in the addresses we write; empty for the target's host",
        secret: false,
        get: |t| t.domain.clone().unwrap_or_default(),
        set: |t, v| optional(v, host).map(|domain| t.domain = domain),
    },
    TrunkSetting {
        name: "user",
        about: "our user name when it asks for one (digest)",
        secret: false,
        get: |t| t.login.as_ref().map(|l| l.user.clone()).unwrap_or_default(),
        set: |t, v| word(v).map(|v| set_user(&mut t.login, v)),
    },
    TrunkSetting {
        name: "password",
        about: "the password of user",
        secret: true,
        get: |t| t.login.as_ref().map(|l| l.password.expose().to_owned()).unwrap_or_default(),
        set: |t, v| word(v).map(|v| set_password(&mut t.login, v)),
    },
    TrunkSetting {
        name: "register",
        about: "for how long we register at a time, such as 10m; off for not at all",
        secret: false,
        get: |t| length_or_off(t.register),
        set: |t, v| read_length_or_off(v).map(|length| t.register = length),
    },
    TrunkSetting {
        name: "country",
        about: "the country (ISO 3166-1 alpha-2) that national numbers are read against",
        secret: false,
        get: |t| t.country.code().to_owned(),
        set: |t, v| {
            t.country = Country::parse(v).ok_or("must be a country's code of two letters, such as IN")?;
            Ok(())
        },
    },
    TrunkSetting {
        name: "form",
        about: "how numbers are written: plus (+9198...), digits (9198...) or national (098..., 001...)",
        secret: false,
        get: |t| form(t.form).to_owned(),
        set: |t, v| {
            t.form = one_of(v, &[Form::Plus, Form::Digits, Form::National], form)?;
            Ok(())
        },
    },
    TrunkSetting {
        name: "read_rules",
        about: "what is replaced at the front of numbers that come, FROM=TO separated by commas; the first that fits",
        secret: false,
        get: |t| rules(&t.read_rules),
        set: |t, v| list(v, rule).map(|all| t.read_rules = all),
    },
    TrunkSetting {
        name: "dial_rules",
        about: "what is replaced at the front of numbers that we send, FROM=TO separated by commas; the first that fits",
        secret: false,
        get: |t| rules(&t.dial_rules),
        set: |t, v| list(v, rule).map(|all| t.dial_rules = all),
    },
    TrunkSetting {
        name: "identity",
        about: "where the network vouches for numbers: pai (P-Asserted-Identity) or from",
        secret: false,
        get: |t| identity(t.identity).to_owned(),
        set: |t, v| {
            t.identity = one_of(v, &[Identity::Asserted, Identity::From], identity)?;
            Ok(())
        },
    },
    TrunkSetting {
        name: "calls",
        about: "the most calls at a time, both directions together; 0 is no limit",
        secret: false,
        get: |t| t.calls.to_string(),
        set: |t, v| whole(v).map(|n| t.calls = n),
    },
    TrunkSetting {
        name: "calls_per_second",
        about: "the most new calls in a second, both directions together; 0 is no limit",
        secret: false,
        get: |t| t.calls_per_second.to_string(),
        set: |t, v| whole(v).map(|n| t.calls_per_second = n),
    },
    TrunkSetting {
        name: "rank",
        about: "trunks of a lower rank are tried first, 0 to 65535",
        secret: false,
        get: |t| t.rank.to_string(),
        set: |t, v| {
            t.rank = v.parse().map_err(|_| "must be a whole number from 0 to 65535")?;
            Ok(())
        },
    },
    TrunkSetting {
        name: "destinations",
        about: "numbers it is used for, by their first digits from the country code on; the longest wins, empty fits all",
        secret: false,
        get: |t| t.destinations.join(", "),
        set: |t, v| list(v, digits).map(|all| t.destinations = all),
    },
    TrunkSetting {
        name: "shown",
        about: "virtual numbers it is used for, by their first digits from the country code on; empty fits all",
        secret: false,
        get: |t| t.shown.join(", "),
        set: |t, v| list(v, digits).map(|all| t.shown = all),
    },
    TrunkSetting {
        name: "probe",
        about: "how often OPTIONS asks whether it is there, such as 1m; off for never",
        secret: false,
        get: |t| length_or_off(t.probe),
        set: |t, v| read_length_or_off(v).map(|length| t.probe = length),
    },
    TrunkSetting {
        name: "media",
        about: "whether sound is encrypted: clear (RTP) or srtp (SDES)",
        secret: false,
        get: |t| media(t.media).to_owned(),
        set: |t, v| {
            t.media = one_of(v, &[Media::Clear, Media::Encrypted], media)?;
            Ok(())
        },
    },
];

fn form(form: Form) -> &'static str {
    match form {
        Form::Plus => "plus",
        Form::Digits => "digits",
        Form::National => "national",
    }
}

fn identity(identity: Identity) -> &'static str {
    match identity {
        Identity::Asserted => "pai",
        Identity::From => "from",
    }
}

fn media(media: Media) -> &'static str {
    match media {
        Media::Clear => "clear",
        Media::Encrypted => "srtp",
    }
}

fn join<T: Display>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn rules(rules: &[Rewrite]) -> String {
    rules.iter().map(|rule| format!("{}={}", rule.from, rule.to)).collect::<Vec<_>>().join(", ")
}

fn list<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect()
}

fn optional<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    match text {
        "" => Ok(None),
        _ => read(text).map(Some),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let whole = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = text.parse().ok().or_else(whole);
    network.ok_or_else(|| "must be addresses or networks, such as 192.0.2.0/24".to_owned())
}

fn host(text: &str) -> Result<String, String> {
    match is_host_name(text) || text.parse::<IpAddr>().is_ok() {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("must be a host's name, such as sip.example.com".to_owned()),
    }
}

fn rule(text: &str) -> Result<Rewrite, String> {
    Rewrite::parse(text).ok_or_else(|| "must be rules of digits, +, * and #, such as 00=+".to_owned())
}

fn digits(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches('+');
    match (1..=15).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("must be the first digits of numbers, such as 91".to_owned()),
    }
}

/// A name or password: what cannot break out of a quoted string, or of a line.
fn word(text: &str) -> Result<&str, String> {
    let fits = |c: char| !c.is_control() && c != '"' && c != '\\';
    match text.len() <= 128 && text.chars().all(fits) {
        true => Ok(text),
        false => Err("must be at most 128 characters without quotes and backslashes".to_owned()),
    }
}

fn set_user(login: &mut Option<Login>, user: &str) {
    let password = login.take().map_or_else(|| Secret::new(""), |l| l.password);
    *login = login_of(user.to_owned(), password);
}

fn set_password(login: &mut Option<Login>, password: &str) {
    let user = login.take().map(|l| l.user).unwrap_or_default();
    *login = login_of(user, Secret::new(password));
}

/// The two settings are set one after the other: half a login stands until [`Trunk::complete`].
fn login_of(user: String, password: Secret) -> Option<Login> {
    let nothing = user.is_empty() && password.expose().is_empty();
    (!nothing).then_some(Login { user, password })
}

fn length_or_off(length: Option<Duration>) -> String {
    length.map_or_else(|| "off".to_owned(), write_length)
}

fn read_length_or_off(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" => Ok(None),
        _ => parse_length(text).map(Some).map_err(|e| format!("{e}, or off")),
    }
}

fn whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "must be a whole number, or 0 for no limit".to_owned())
}

fn one_of<T: Copy>(text: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one).eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        format!("must be one of {}", all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::super::TrunkName;
    use super::*;

    fn new() -> Trunk {
        Trunk::new(TrunkName::parse("one").unwrap())
    }

    #[test]
    fn every_setting_reads_what_it_writes() {
        let check = |name: &str, value: &str, kept: &str| {
            let mut trunk = new();
            trunk.set(name, value).unwrap();
            assert!(trunk.said().contains(&(setting(name), kept.to_owned())), "{name}: {:?}", trunk.said());

            let mut again = new();
            for (name, text) in trunk.said() {
                again.set(name, &text).unwrap();
            }
            assert_eq!(again, trunk);
        };
        fn setting(name: &str) -> &'static str {
            Trunk::table().iter().find(|s| s.name == name).unwrap().name
        }
        check("sources", "192.0.2.1,198.51.100.0/24 ", "192.0.2.1/32, 198.51.100.0/24");
        check("certificate_names", "SBC.example.com", "sbc.example.com");
        check("accept_user", "carrier", "carrier");
        check("accept_password", "secret", "secret");
        check("targets", "192.0.2.1:5080, sip.example.com", "192.0.2.1:5080, sip.example.com");
        check("transport", "TLS", "tls");
        check("domain", "example.com", "example.com");
        check("user", "callveil", "callveil");
        check("password", "secret", "secret");
        check("register", "10m", "10m");
        check("country", "de", "DE");
        check("form", "national", "national");
        check("read_rules", "00=+,0=+91", "00=+, 0=+91");
        check("dial_rules", "=99", "=99");
        check("identity", "from", "from");
        check("calls", "30", "30");
        check("calls_per_second", "5", "5");
        check("rank", "7", "7");
        check("destinations", "+91, 1", "91, 1");
        check("shown", "9180", "9180");
        check("probe", "off", "off");
        check("media", "srtp", "srtp");
    }

    #[test]
    fn what_a_setting_does_not_take_is_refused_by_its_name() {
        let check = |name: &str, value: &str| {
            let refused = new().set(name, value).unwrap_err().to_string();
            assert!(refused.starts_with(name), "{refused}");
        };
        check("sources", "192.0.2.0/33");
        check("sources", "example.com");
        check("targets", "sip:example.com");
        check("transport", "sctp");
        check("password", "two\nlines");
        check("register", "soon");
        check("country", "India");
        check("form", "e164");
        check("read_rules", "00");
        check("rank", "70000");
        check("destinations", "+");
        let unknown = new().set("souces", "").unwrap_err().to_string();
        assert_eq!(unknown, "a trunk has no setting 'souces'");
    }

    #[test]
    fn what_makes_no_trunk_is_refused() {
        let check = |settings: &[(&str, &str)], refused: Option<TrunkRefused>| {
            let mut trunk = new();
            for (name, value) in settings {
                trunk.set(name, value).unwrap();
            }
            assert_eq!(trunk.complete().err(), refused);
        };
        check(&[], Some(TrunkRefused::Idle));
        check(&[("sources", "192.0.2.1")], None);
        check(&[("targets", "192.0.2.1")], None);
        check(
            &[("targets", "192.0.2.1"), ("user", "callveil")],
            Some(TrunkRefused::HalfALogin { user: "user", password: "password" }),
        );
        check(&[("targets", "192.0.2.1"), ("register", "1h")], Some(TrunkRefused::NothingToRegister));
        check(&[("targets", "192.0.2.1"), ("register", "1h"), ("user", "u"), ("password", "p")], None);
    }
}
