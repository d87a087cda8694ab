//! One layer of configuration, as somebody wrote it: every key may be missing.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;

use callveil_webhooks::guard::Network;
use serde::Deserialize;

use super::values::{
    Database, FileTrunk, Length, List, Listen, LogFilter, LogFormat, MediaEngine, Pause, Place, Ports,
    PublicUrl, SoundSources,
};

/// What one layer says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    pub database: Option<Database>,
    pub retention: Option<Length>,
    pub claim_memory: Option<Length>,
    pub receipt_memory: Option<Length>,
    pub http: WrittenHttp,
    pub sip: WrittenSip,
    pub trunk: Vec<FileTrunk>,
    pub media: WrittenMedia,
    pub metrics: WrittenMetrics,
    pub webhooks: WrittenWebhooks,
    pub log: WrittenLog,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenHttp {
    pub listen: Option<Listen>,
    pub connections: Option<NonZeroU32>,
    pub requests: Option<NonZeroUsize>,
    pub body_limit: Option<NonZeroUsize>,
    pub header_timeout: Option<Length>,
    pub request_timeout: Option<Length>,
    pub drain_pause: Option<Pause>,
    pub drain_timeout: Option<Length>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenSip {
    pub listen: Option<List<Listen>>,
    pub public: Option<List<IpAddr>>,
    pub calls: Option<NonZeroUsize>,
    pub drain_timeout: Option<Length>,
    pub tls_listen: Option<List<Listen>>,
    pub certificate: Option<Place>,
    pub key: Option<Place>,
    pub authorities: Option<Place>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenMedia {
    pub engine: Option<MediaEngine>,
    pub rtpengine: Option<Listen>,
    pub rtpengine_keys: Option<Listen>,
    pub listen: Option<List<IpAddr>>,
    pub public: Option<List<IpAddr>>,
    pub ports: Option<Ports>,
    pub sources: Option<SoundSources>,
    pub silence: Option<Length>,
    pub prompts: Option<Place>,
    pub recordings: Option<Place>,
    pub recording_retention: Option<Length>,
    pub recording_url: Option<PublicUrl>,
    pub recording_link: Option<Length>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenMetrics {
    pub listen: Option<Listen>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenWebhooks {
    pub allow: Option<List<Network>>,
    pub allow_http: Option<bool>,
    pub retries: Option<List<Length>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenLog {
    pub level: Option<LogFilter>,
    pub format: Option<LogFormat>,
}

impl Written {
    /// What the environment says.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Written, BadVariable> {
        let read = Variables(variable);
        Ok(Written {
            database: read.value("CALLVEIL_DATABASE")?,
            retention: read.value("CALLVEIL_RETENTION")?,
            claim_memory: read.value("CALLVEIL_CLAIM_MEMORY")?,
            receipt_memory: read.value("CALLVEIL_RECEIPT_MEMORY")?,
            http: WrittenHttp {
                listen: read.value("CALLVEIL_HTTP_LISTEN")?,
                connections: read.value("CALLVEIL_HTTP_CONNECTIONS")?,
                requests: read.value("CALLVEIL_HTTP_REQUESTS")?,
                body_limit: read.value("CALLVEIL_HTTP_BODY_LIMIT")?,
                header_timeout: read.value("CALLVEIL_HTTP_HEADER_TIMEOUT")?,
                request_timeout: read.value("CALLVEIL_HTTP_REQUEST_TIMEOUT")?,
                drain_pause: read.value("CALLVEIL_HTTP_DRAIN_PAUSE")?,
                drain_timeout: read.value("CALLVEIL_HTTP_DRAIN_TIMEOUT")?,
            },
            sip: WrittenSip {
                listen: read.value("CALLVEIL_SIP_LISTEN")?,
                public: read.value("CALLVEIL_SIP_PUBLIC")?,
                calls: read.value("CALLVEIL_SIP_CALLS")?,
                drain_timeout: read.value("CALLVEIL_SIP_DRAIN_TIMEOUT")?,
                tls_listen: read.value("CALLVEIL_SIP_TLS_LISTEN")?,
                certificate: read.value("CALLVEIL_SIP_CERTIFICATE")?,
                key: read.value("CALLVEIL_SIP_KEY")?,
                authorities: read.value("CALLVEIL_SIP_AUTHORITIES")?,
            },
            trunk: Vec::new(),
            media: WrittenMedia {
                engine: read.value("CALLVEIL_MEDIA_ENGINE")?,
                rtpengine: read.value("CALLVEIL_MEDIA_RTPENGINE")?,
                rtpengine_keys: read.value("CALLVEIL_MEDIA_RTPENGINE_KEYS")?,
                listen: read.value("CALLVEIL_MEDIA_LISTEN")?,
                public: read.value("CALLVEIL_MEDIA_PUBLIC")?,
                ports: read.value("CALLVEIL_MEDIA_PORTS")?,
                sources: read.value("CALLVEIL_MEDIA_SOURCES")?,
                silence: read.value("CALLVEIL_MEDIA_SILENCE")?,
                prompts: read.value("CALLVEIL_MEDIA_PROMPTS")?,
                recordings: read.value("CALLVEIL_MEDIA_RECORDINGS")?,
                recording_retention: read.value("CALLVEIL_MEDIA_RECORDING_RETENTION")?,
                recording_url: read.value("CALLVEIL_MEDIA_RECORDING_URL")?,
                recording_link: read.value("CALLVEIL_MEDIA_RECORDING_LINK")?,
            },
            metrics: WrittenMetrics { listen: read.value("CALLVEIL_METRICS_LISTEN")? },
            webhooks: WrittenWebhooks {
                allow: read.value("CALLVEIL_WEBHOOKS_ALLOW")?,
                allow_http: read.value("CALLVEIL_WEBHOOKS_ALLOW_HTTP")?,
                retries: read.value("CALLVEIL_WEBHOOKS_RETRIES")?,
            },
            log: WrittenLog {
                level: read.value("CALLVEIL_LOG_LEVEL")?,
                format: read.value("CALLVEIL_LOG_FORMAT")?,
            },
        })
    }
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// An empty variable counts as none: that is how many a compose file leaves one out.
    fn value<T: FromStr<Err: fmt::Display>>(&self, name: &'static str) -> Result<Option<T>, BadVariable> {
        let Some(text) = (self.0)(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|why: T::Err| BadVariable { name, why: why.to_string() })
    }
}

/// A variable of ours with a value that its key does not take.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct BadVariable {
    name: &'static str,
    why: String,
}
