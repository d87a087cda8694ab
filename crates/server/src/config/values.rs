//! The values that configuration keys take: each reads one text, the same in a file, a variable and a flag.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use callveil_domain::time::{NotALength, parse_length, write_length};
use callveil_domain::trunk::{Trunk, TrunkName};
use callveil_store::postgres::{BadUrl, Url};
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Database {
    /// One file of SQLite's.
    Sqlite(PathBuf),
    /// A PostgreSQL, for any number of nodes.
    Postgres(Box<Url>),
}

impl FromStr for Database {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Database, BadValue> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let url = text.parse().map_err(|e: BadUrl| BadValue(e.to_string()))?;
            return Ok(Database::Postgres(Box::new(url)));
        }
        let Some(path) = text.strip_prefix("sqlite:") else {
            return Err(BadValue(format!(
                "must be sqlite: and a path, such as sqlite:{}, or postgres://USER@HOST/NAME",
                file_name(text)
            )));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path == ":memory:" {
            return Err(BadValue::new("must name a file, such as sqlite:callveil.db"));
        }
        Ok(Database::Sqlite(PathBuf::from(path)))
    }
}

/// What a bare path most likely meant. Anything like a URL is not repeated: it may hold a password.
fn file_name(text: &str) -> &str {
    if text.is_empty() || text.contains(':') { "callveil.db" } else { text }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Database::Postgres(url) => url.fmt(f),
        }
    }
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(SocketAddr);

impl Listen {
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Listen {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Listen, BadValue> {
        let wrong = || {
            let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("8080");
            BadValue(format!("must be an IP address and a port, such as 127.0.0.1:{port}"))
        };
        text.parse().map(Listen).map_err(|_| wrong())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Several values, written one after the other with commas, or as a list in a file; `none` is none of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Listed", bound(deserialize = "T: FromStr<Err: fmt::Display>"))]
pub struct List<T>(Vec<T>);

impl<T> List<T> {
    /// The values, in their order.
    pub fn values(&self) -> &[T] {
        &self.0
    }
}

/// How a list may stand in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Text(String),
    Texts(Vec<String>),
}

impl<T: FromStr<Err: fmt::Display>> TryFrom<Listed> for List<T> {
    type Error = BadValue;

    fn try_from(listed: Listed) -> Result<List<T>, BadValue> {
        match listed {
            Listed::Text(text) => text.parse(),
            Listed::Texts(texts) => texts.join(",").parse(),
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for List<T> {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<List<T>, BadValue> {
        if matches!(text.trim(), "" | "none") {
            return Ok(List(Vec::new()));
        }
        let value = |part: &str| part.trim().parse().map_err(|why: T::Err| BadValue(why.to_string()));
        text.split(',').map(value).collect::<Result<_, _>>().map(List)
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none"),
            values => f.write_str(&values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// A trunk that stands in the file: its name, and its settings by their names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, SettingText>")]
pub struct FileTrunk(Trunk);

impl FileTrunk {
    pub fn trunk(&self) -> &Trunk {
        &self.0
    }
}

/// A setting as TOML has it: a text, a number, or a list of texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum SettingText {
    Text(String),
    Whole(i64),
    List(Vec<String>),
}

impl TryFrom<BTreeMap<String, SettingText>> for FileTrunk {
    type Error = BadValue;

    fn try_from(written: BTreeMap<String, SettingText>) -> Result<FileTrunk, BadValue> {
        let texts = written.into_iter().map(|(name, value)| {
            let text = match value {
                SettingText::Text(text) => text,
                SettingText::Whole(number) => number.to_string(),
                SettingText::List(list) => list.join(","),
            };
            (name, text)
        });
        let mut texts: BTreeMap<String, String> = texts.collect();
        let name = texts.remove("name").and_then(|name| TrunkName::parse(&name));
        let name = name.ok_or(BadValue::new("a trunk needs a name of 1 to 32 letters, digits, - and _"))?;
        let mut trunk = Trunk::new(name);
        for (setting, text) in &texts {
            trunk.set(setting, text).map_err(|why| BadValue(why.to_string()))?;
        }
        trunk.complete().map(FileTrunk).map_err(|why| BadValue(why.to_string()))
    }
}

/// A length of time, written as a whole number and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Length(Duration);

impl FromStr for Length {
    type Err = NotALength;

    fn from_str(text: &str) -> Result<Length, NotALength> {
        parse_length(text).map(Length)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_length(self.0))
    }
}

impl From<Length> for Duration {
    fn from(length: Length) -> Duration {
        length.0
    }
}

/// A length of time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pause(Option<Length>);

impl Pause {
    /// How long it is.
    pub fn length(self) -> Option<Duration> {
        self.0.map(Duration::from)
    }
}

impl FromStr for Pause {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Pause, BadValue> {
        match text {
            "none" => Ok(Pause(None)),
            length => {
                let length = length.parse().map_err(|why| BadValue(format!("{why}, or none")))?;
                Ok(Pause(Some(length)))
            }
        }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(length) => length.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// What carries sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MediaEngine {
    /// The relay that is built in.
    Relay,
    /// An rtpengine beside us.
    Rtpengine,
}

impl FromStr for MediaEngine {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<MediaEngine, BadValue> {
        match text {
            "relay" => Ok(MediaEngine::Relay),
            "rtpengine" => Ok(MediaEngine::Rtpengine),
            _ => Err(BadValue::new("must be relay or rtpengine")),
        }
    }
}

impl fmt::Display for MediaEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaEngine::Relay => "relay",
            MediaEngine::Rtpengine => "rtpengine",
        })
    }
}

/// A range of ports: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports(u16, u16);

impl Ports {
    /// The range.
    pub fn range(self) -> RangeInclusive<u16> {
        self.0..=self.1
    }
}

impl FromStr for Ports {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Ports, BadValue> {
        let ends = text.split_once('-').and_then(|(low, high)| {
            let end = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
            Some((end(low)?, end(high)?))
        });
        let holds_a_pair = |(low, high): &(u16, u16)| low + low % 2 < *high;
        let (low, high) = ends.filter(holds_a_pair).ok_or_else(|| {
            BadValue::new("must be two ports with a pair between them, such as 20000-29999")
        })?;
        Ok(Ports(low, high))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// Whose sound is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SoundSources {
    /// That of the address that a telephone describes.
    Described,
    /// That of whoever sends first.
    First,
}

impl FromStr for SoundSources {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<SoundSources, BadValue> {
        match text {
            "described" => Ok(SoundSources::Described),
            "first" => Ok(SoundSources::First),
            _ => Err(BadValue::new("must be described or first")),
        }
    }
}

impl fmt::Display for SoundSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SoundSources::Described => "described",
            SoundSources::First => "first",
        })
    }
}

/// A file or a directory, or none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Place(Option<PathBuf>);

impl Place {
    /// Its path.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl FromStr for Place {
    type Err = BadValue;

    /// A path shows itself by its `/`, lest a misspelt `none` become a directory.
    fn from_str(text: &str) -> Result<Place, BadValue> {
        match text {
            "none" => Ok(Place(None)),
            path if path.contains('/') => Ok(Place(Some(PathBuf::from(path)))),
            _ => Err(BadValue::new("must be a path with a /, such as ./sounds, or none")),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => path.display().fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// The address under which clients reach us, without a `/` at its end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<PublicUrl, BadValue> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let sound = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        if !sound {
            return Err(BadValue::new("must be a URL, such as https://calls.example.com"));
        }
        Ok(PublicUrl(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which log lines are written: a level for all of them, or `part=level` for some, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter that the text says.
    pub fn targets(&self) -> Targets {
        self.0.parse().expect("law: the text was read when it was written")
    }

    /// Does it name this part itself, and not only all parts, or those whose names begin like it?
    pub fn names(&self, part: &str) -> bool {
        self.0.split(',').any(|said| said.split_once('=').is_some_and(|(name, _)| name == part))
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl FromStr for LogFilter {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<LogFilter, BadValue> {
        // `Targets` alone would take a misspelt level for the name of a part.
        let is_level = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
        let sound = text.split(',').all(|part| is_level(part.rsplit('=').next().unwrap_or_default()));
        if !sound || text.parse::<Targets>().is_err() {
            return Err(BadValue::new(
                "must be off, error, warn, info, debug or trace, or the like of info,callveil_api=debug",
            ));
        }
        Ok(LogFilter(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For eyes.
    Human,
    /// For programs: one object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<LogFormat, BadValue> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err(BadValue::new("must be auto, human or json")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Auto => "auto",
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        })
    }
}

/// The text is not a value of its key; says what is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

impl BadValue {
    fn new(why: &str) -> BadValue {
        BadValue(why.to_owned())
    }
}

/// serde reads each of them as the text it is written as.
macro_rules! read_as_text {
    ($($value:ty),*) => {$(
        impl TryFrom<String> for $value {
            type Error = <$value as FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )*};
}

read_as_text!(
    Database,
    Place,
    Listen,
    Length,
    LogFilter,
    LogFormat,
    MediaEngine,
    Pause,
    Ports,
    PublicUrl,
    SoundSources
);
