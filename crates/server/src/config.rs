//! Configuration: what was written ([`Written`]), and what holds ([`Config`]).
//!
//! Four layers, each going before the one above it: the defaults of `config.default.toml`, the file, the
//! environment, the flags. What is not understood is refused, with its place; nothing is guessed.

mod values;
mod written;

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use callveil_domain::trunk::Trunk;
use callveil_webhooks::guard::Network;

pub use values::{
    Database, Length, List, Listen, LogFilter, LogFormat, MediaEngine, Pause, Place, Ports, PublicUrl,
    SoundSources,
};
pub use written::{
    Written, WrittenHttp, WrittenLog, WrittenMedia, WrittenMetrics, WrittenSip, WrittenWebhooks,
};

use written::BadVariable;

/// The commented file that holds every default: the manual of the configuration, and its first layer.
pub const DEFAULT_FILE: &str = include_str!("../config.default.toml");

/// What holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub database: Database,
    /// How long ended allocations stay readable.
    pub retention: Duration,
    /// How long claims that nobody holds are remembered.
    pub claim_memory: Duration,
    /// How long answers are kept for a repeat of their request.
    pub receipt_memory: Duration,
    /// The API's listener.
    pub http: Http,
    /// Where calls come in.
    pub sip: Sip,
    /// The trunks that stand in the file; those of the database are beside them.
    pub trunks: Vec<Trunk>,
    /// How sound is carried and kept.
    pub media: Media,
    /// Where the metrics are served.
    pub metrics_listen: Listen,
    /// Where webhooks may go.
    pub webhooks: Webhooks,
    /// What is logged, and how.
    pub log: Log,
    /// Every key with the text of its value and its origin, in the order of the default file.
    pub told: Vec<Told>,
    /// Variables that look like ours and are none.
    pub strange_variables: Vec<String>,
}

/// The API's listener and its limits.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: Listen,
    pub connections: NonZeroU32,
    pub requests: NonZeroUsize,
    pub body_limit: NonZeroUsize,
    pub header_timeout: Duration,
    pub request_timeout: Duration,
    pub drain_pause: Pause,
    pub drain_timeout: Duration,
}

/// Where calls come in, and how many.
#[derive(Clone, Debug)]
pub struct Sip {
    pub listen: List<Listen>,
    pub public: List<IpAddr>,
    pub calls: NonZeroUsize,
    pub drain_timeout: Duration,
    pub tls_listen: List<Listen>,
    pub certificate: Place,
    pub key: Place,
    pub authorities: Place,
}

/// Where webhooks may go.
#[derive(Clone, Debug)]
pub struct Webhooks {
    pub allow: List<Network>,
    pub allow_http: bool,
    /// The waits between the attempts.
    pub retries: List<Length>,
}

/// How sound is carried and kept.
#[derive(Clone, Debug)]
pub struct Media {
    pub engine: MediaEngine,
    pub rtpengine: Listen,
    pub rtpengine_keys: Listen,
    pub listen: List<IpAddr>,
    pub public: List<IpAddr>,
    pub ports: Ports,
    pub sources: SoundSources,
    pub silence: Duration,
    pub prompts: Place,
    pub recordings: Place,
    pub recording_retention: Duration,
    pub recording_url: PublicUrl,
    pub recording_link: Duration,
}

impl Media {
    /// Why calls cannot be recorded here, if so.
    pub fn records_nothing(&self) -> Option<&'static str> {
        match (self.engine, self.recordings.path()) {
            (MediaEngine::Rtpengine, _) => {
                Some("media.engine is rtpengine, with which callveil records nothing")
            }
            (MediaEngine::Relay, None) => Some("media.recordings is none"),
            (MediaEngine::Relay, Some(_)) => None,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    pub level: LogFilter,
    pub format: LogFormat,
}

/// A key as `config show` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub name: &'static str,
    pub value: String,
    pub origin: Origin,
}

/// Who said what holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment,
    Flag,
}

impl Config {
    /// Reads all layers; `flags` is the last of them.
    pub fn read(file: Option<&Path>, flags: Written) -> Result<Config, ConfigError> {
        let mut layers = vec![Layer { origin: Origin::Default, written: defaults() }];
        if let Some(path) = file {
            let text = fs::read_to_string(path)
                .map_err(|why| ConfigError::Unreadable { path: path.to_owned(), why })?;
            let written = toml::from_str(&text)
                .map_err(|why| ConfigError::File { path: path.to_owned(), why: Box::new(why) })?;
            layers.push(Layer { origin: Origin::File(path.to_owned()), written });
        }
        let written = Written::from_environment(&|name| env::var(name).ok())?;
        layers.push(Layer { origin: Origin::Environment, written });
        layers.push(Layer { origin: Origin::Flag, written: flags });
        let mut config = Config::resolve(&layers);
        config.strange_variables = strange_variables(&config.told);
        Ok(config)
    }

    fn resolve(layers: &[Layer]) -> Config {
        let mut told = Vec::new();
        let mut last = Last { layers, told: &mut told };
        Config {
            database: last.of("database", |w| w.database.clone()),
            retention: last.of("retention", |w| w.retention).into(),
            claim_memory: last.of("claim_memory", |w| w.claim_memory).into(),
            receipt_memory: last.of("receipt_memory", |w| w.receipt_memory).into(),
            http: Http {
                listen: last.of("http.listen", |w| w.http.listen),
                connections: last.of("http.connections", |w| w.http.connections),
                requests: last.of("http.requests", |w| w.http.requests),
                body_limit: last.of("http.body_limit", |w| w.http.body_limit),
                header_timeout: last.of("http.header_timeout", |w| w.http.header_timeout).into(),
                request_timeout: last.of("http.request_timeout", |w| w.http.request_timeout).into(),
                drain_pause: last.of("http.drain_pause", |w| w.http.drain_pause),
                drain_timeout: last.of("http.drain_timeout", |w| w.http.drain_timeout).into(),
            },
            sip: Sip {
                listen: last.of("sip.listen", |w| w.sip.listen.clone()),
                public: last.of("sip.public", |w| w.sip.public.clone()),
                calls: last.of("sip.calls", |w| w.sip.calls),
                drain_timeout: last.of("sip.drain_timeout", |w| w.sip.drain_timeout).into(),
                tls_listen: last.of("sip.tls_listen", |w| w.sip.tls_listen.clone()),
                certificate: last.of("sip.certificate", |w| w.sip.certificate.clone()),
                key: last.of("sip.key", |w| w.sip.key.clone()),
                authorities: last.of("sip.authorities", |w| w.sip.authorities.clone()),
            },
            trunks: layers.iter().flat_map(|l| &l.written.trunk).map(|t| t.trunk().clone()).collect(),
            media: Media {
                engine: last.of("media.engine", |w| w.media.engine),
                rtpengine: last.of("media.rtpengine", |w| w.media.rtpengine),
                rtpengine_keys: last.of("media.rtpengine_keys", |w| w.media.rtpengine_keys),
                listen: last.of("media.listen", |w| w.media.listen.clone()),
                public: last.of("media.public", |w| w.media.public.clone()),
                ports: last.of("media.ports", |w| w.media.ports),
                sources: last.of("media.sources", |w| w.media.sources),
                silence: last.of("media.silence", |w| w.media.silence).into(),
                prompts: last.of("media.prompts", |w| w.media.prompts.clone()),
                recordings: last.of("media.recordings", |w| w.media.recordings.clone()),
                recording_retention: last
                    .of("media.recording_retention", |w| w.media.recording_retention)
                    .into(),
                recording_url: last.of("media.recording_url", |w| w.media.recording_url.clone()),
                recording_link: last.of("media.recording_link", |w| w.media.recording_link).into(),
            },
            metrics_listen: last.of("metrics.listen", |w| w.metrics.listen),
            webhooks: Webhooks {
                allow: last.of("webhooks.allow", |w| w.webhooks.allow.clone()),
                allow_http: last.of("webhooks.allow_http", |w| w.webhooks.allow_http),
                retries: last.of("webhooks.retries", |w| w.webhooks.retries.clone()),
            },
            log: Log {
                level: last.of("log.level", |w| w.log.level.clone()),
                format: last.of("log.format", |w| w.log.format),
            },
            strange_variables: Vec::new(),
            told,
        }
    }
}

struct Layer {
    origin: Origin,
    written: Written,
}

/// Takes each key from the last layer that has it, and notes down which that was.
struct Last<'a> {
    layers: &'a [Layer],
    told: &'a mut Vec<Told>,
}

impl Last<'_> {
    fn of<T: fmt::Display>(&mut self, name: &'static str, get: fn(&Written) -> Option<T>) -> T {
        let found =
            self.layers.iter().rev().find_map(|layer| get(&layer.written).map(|v| (v, &layer.origin)));
        let (value, origin) = found.expect("law: the default file has every key");
        self.told.push(Told { name, value: value.to_string(), origin: origin.clone() });
        value
    }
}

fn defaults() -> Written {
    toml::from_str(DEFAULT_FILE).expect("law: the default file is a configuration")
}

/// The variable that stands for a key: `http.listen` is `CALLVEIL_HTTP_LISTEN`.
pub fn variable(name: &str) -> String {
    format!("CALLVEIL_{}", name.to_ascii_uppercase().replace('.', "_"))
}

fn strange_variables(told: &[Told]) -> Vec<String> {
    let known = |name: &str| name == "CALLVEIL_CONFIG" || told.iter().any(|key| variable(key.name) == name);
    let ours = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut strange: Vec<String> = ours.filter(|n| n.starts_with("CALLVEIL_") && !known(n)).collect();
    strange.sort();
    strange
}

/// Why no configuration holds.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    #[error("{}: {}", path.display(), why.to_string().trim_end())]
    File { path: PathBuf, why: Box<toml::de::Error> },
    #[error(transparent)]
    Variable(#[from] BadVariable),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::Flag => f.write_str("flag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(written: Vec<(Origin, Written)>) -> Config {
        let mut layers = vec![Layer { origin: Origin::Default, written: defaults() }];
        layers.extend(written.into_iter().map(|(origin, written)| Layer { origin, written }));
        Config::resolve(&layers)
    }

    #[test]
    fn the_default_file_says_what_the_documentation_says() {
        let config = resolve(Vec::new());
        let told: Vec<(&str, &str)> = config.told.iter().map(|t| (t.name, t.value.as_str())).collect();
        assert_eq!(
            told,
            [
                ("database", "sqlite:callveil-data/callveil.db"),
                ("retention", "180d"),
                ("claim_memory", "7d"),
                ("receipt_memory", "1d"),
                ("http.listen", "127.0.0.1:8080"),
                ("http.connections", "10000"),
                ("http.requests", "4096"),
                ("http.body_limit", "65536"),
                ("http.header_timeout", "5s"),
                ("http.request_timeout", "30s"),
                ("http.drain_pause", "none"),
                ("http.drain_timeout", "30s"),
                ("sip.listen", "127.0.0.1:5060"),
                ("sip.public", "none"),
                ("sip.calls", "10000"),
                ("sip.drain_timeout", "10m"),
                ("sip.tls_listen", "none"),
                ("sip.certificate", "none"),
                ("sip.key", "none"),
                ("sip.authorities", "none"),
                ("media.engine", "relay"),
                ("media.rtpengine", "127.0.0.1:2223"),
                ("media.rtpengine_keys", "127.0.0.1:2225"),
                ("media.listen", "none"),
                ("media.public", "none"),
                ("media.ports", "20000-29999"),
                ("media.sources", "described"),
                ("media.silence", "1m"),
                ("media.prompts", "none"),
                ("media.recordings", "callveil-data/recordings"),
                ("media.recording_retention", "90d"),
                ("media.recording_url", "http://127.0.0.1:8080"),
                ("media.recording_link", "1h"),
                ("metrics.listen", "127.0.0.1:9090"),
                ("webhooks.allow", "none"),
                ("webhooks.allow_http", "false"),
                ("webhooks.retries", "5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 1d"),
                ("log.level", "info"),
                ("log.format", "auto"),
            ]
        );
    }

    #[test]
    fn the_default_file_names_the_variable_of_every_key() {
        for key in resolve(Vec::new()).told {
            let line = format!("# {}\n", variable(key.name));
            assert!(DEFAULT_FILE.contains(&line), "{line}");
        }
    }

    #[test]
    fn every_variable_that_the_default_file_names_is_read() {
        let names = DEFAULT_FILE.lines().filter_map(|line| line.strip_prefix("# CALLVEIL_"));
        for name in names {
            let variable = format!("CALLVEIL_{name}");
            // No key takes this value, so a variable that is read is refused.
            let read = Written::from_environment(&|asked| (asked == variable).then(|| "?=".to_owned()));
            assert!(read.is_err(), "{variable} is not read");
        }
    }

    #[test]
    fn later_layers_go_first_and_are_told() {
        let file: Written = toml::from_str("[http]\nlisten = \"127.0.0.1:1\"\nconnections = 7").unwrap();
        let environment =
            Written::from_environment(&|name| (name == "CALLVEIL_HTTP_LISTEN").then(|| "[::1]:2".to_owned()))
                .unwrap();
        let path = PathBuf::from("callveil.toml");

        let config = resolve(vec![(Origin::File(path.clone()), file), (Origin::Environment, environment)]);

        let origin = |name| config.told.iter().find(|t| t.name == name).map(|t| t.origin.clone());
        assert_eq!(config.http.listen.to_string(), "[::1]:2");
        assert_eq!(origin("http.listen"), Some(Origin::Environment));
        assert_eq!(origin("http.connections"), Some(Origin::File(path)));
        assert_eq!(origin("retention"), Some(Origin::Default));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        let check = |text: &str, place: &str, why: &str| {
            let refused = toml::from_str::<Written>(text).unwrap_err().to_string();
            assert!(refused.contains(place) && refused.contains(why), "{refused}");
        };
        check("\n[http]\nlistn = \"127.0.0.1:1\"", "line 3, column 1", "unknown field `listn`");
        check("retention = \"forever\"", "line 1, column 13", "a positive whole number and a unit");
        check(
            "database = \"postgres://db:x/callveil\"",
            "line 1, column 12",
            "connection string of PostgreSQL's",
        );
        check("database = \"callveil.db\"", "line 1, column 12", "sqlite:callveil.db");
        check("[sip]\nlisten = [\"5060\"]", "line 2, column 10", "127.0.0.1:5060");
        check("[media]\nports = \"20001-20002\"", "line 2, column 9", "20000-29999");
        check("[media]\nprompts = \"nine\"", "line 2, column 11", "./sounds, or none");
        check("[metrics]\nlisten = \"9090\"", "line 2, column 10", "127.0.0.1:9090");
        check("[log]\nlevel = \"inf\"", "line 2, column 9", "off, error, warn, info, debug or trace");
        check("[webhooks]\nallow = \"10.0.0.1/33\"", "line 2, column 9", "invalid IP address");
        check("[[trunk]]\nsources = \"192.0.2.1\"", "line 1", "a trunk needs a name");
        check("[[trunk]]\nname = \"one\"\ntarget = \"192.0.2.1\"", "line 1", "no setting 'target'");
        check("[http]\nconnections = 0", "line 2, column 15", "nonzero");
    }

    #[test]
    fn trunks_stand_in_the_file() {
        let text = "[[trunk]]\nname = \"one\"\nsources = [\"192.0.2.0/24\", \"198.51.100.7\"]\ncalls = 30\n\
                    [[trunk]]\nname = \"two\"\ntargets = \"sip.example.com\"\ntransport = \"tls\"";
        let file: Written = toml::from_str(text).unwrap();

        let config = resolve(vec![(Origin::File(PathBuf::from("callveil.toml")), file)]);

        let said: Vec<_> = config.trunks.iter().map(|t| (t.name.as_str(), t.said())).collect();
        let sources = "192.0.2.0/24, 198.51.100.7/32".to_owned();
        assert_eq!(
            said,
            [
                ("one", vec![("sources", sources), ("calls", "30".to_owned())]),
                ("two", vec![("targets", "sip.example.com".to_owned()), ("transport", "tls".to_owned())]),
            ]
        );
    }

    #[test]
    fn a_bad_variable_is_refused_by_name() {
        let read = |name: &str| (name == "CALLVEIL_RETENTION").then(|| "ever".to_owned());
        let refused = Written::from_environment(&read).unwrap_err().to_string();
        assert!(refused.starts_with("CALLVEIL_RETENTION: "), "{refused}");
    }
}
