//! Where the database is, and how connections to it are made.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::session::Preparing;

/// Where a database is: a connection string as PostgreSQL's own programs take it, `postgres://...`, with four
/// parameters of ours: `pool` (connections of a node), `pgbouncer` (`true` when a pooler in transaction mode stands
/// before the engine), `sslrootcert` (a file of certificates to trust) and `tenant_role` (the role that reads what is one
/// tenant's).
///
/// Prints itself without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    config: tokio_postgres::Config,
    trust: Trust,
    preparing: Preparing,
    connections: usize,
    tenant_role: Option<String>,
}

/// How the server's certificate is judged, as PostgreSQL's own programs do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trust {
    /// What is said is hidden from others, whoever the server is: `prefer` and `require`.
    Anybody,
    /// The server is who it says: `verify-ca` and `verify-full`, or when certificates are named.
    Certified(Option<PathBuf>),
}

/// The text says no database of PostgreSQL's. Never repeats the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

/// How many connections a node has unless it is said otherwise.
const CONNECTIONS: usize = 16;

/// How long a host is given to take a connection before the next one is tried.
const CONNECTING: Duration = Duration::from_secs(2);

/// How long a host may leave what it is sent unacknowledged: afterwards it is lost, and so is found another.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// How long a host may say nothing before it is asked whether it is there. A host that goes without a word while a
/// commit is awaited owes no acknowledgement: nothing but this finds out.
const SILENT: Duration = Duration::from_secs(5);

/// How often it is asked from then on, until it has been silent for as long as it may leave things unacknowledged.
const ASKED_EVERY: Duration = Duration::from_secs(1);

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Url, BadUrl> {
        let mut url = Url {
            text: text.to_owned(),
            config: tokio_postgres::Config::new(),
            trust: Trust::Anybody,
            preparing: Preparing::Once,
            connections: CONNECTIONS,
            tenant_role: None,
        };
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut theirs = Vec::new();
        for parameter in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name, value) {
                ("pool", count) => {
                    url.connections =
                        count.parse().ok().filter(|n| (3..=1_000).contains(n)).ok_or_else(|| {
                            BadUrl("has a pool that is no number of connections from 3 to 1000".to_owned())
                        })?;
                }
                ("pgbouncer", "true") => url.preparing = Preparing::Never,
                ("pgbouncer", "false") => url.preparing = Preparing::Once,
                ("pgbouncer", _) => {
                    return Err(BadUrl("has a pgbouncer that is neither true nor false".to_owned()));
                }
                ("tenant_role", role) if is_plain_name(role) => url.tenant_role = Some(role.to_owned()),
                ("tenant_role", _) => {
                    return Err(BadUrl("has a tenant_role that is not of a-z, 0-9 and _".to_owned()));
                }
                ("sslrootcert", path) => url.trust = Trust::Certified(Some(PathBuf::from(path))),
                ("sslmode", "verify-ca" | "verify-full") => {
                    if url.trust == Trust::Anybody {
                        url.trust = Trust::Certified(None);
                    }
                    theirs.push("sslmode=require".to_owned());
                }
                _ => theirs.push(parameter.to_owned()),
            }
        }
        let plain = match theirs.is_empty() {
            true => address.to_owned(),
            false => format!("{address}?{}", theirs.join("&")),
        };
        let not_one = |e: tokio_postgres::Error| {
            let why = std::error::Error::source(&e).map(ToString::to_string).unwrap_or_else(|| e.to_string());
            BadUrl(format!("is no connection string of PostgreSQL's: {why}"))
        };
        url.config = plain.parse::<tokio_postgres::Config>().map_err(not_one)?;
        let says = |name: &str| theirs.iter().any(|parameter| parameter.starts_with(name));
        if !says("keepalives_idle=") {
            url.config.keepalives_idle(SILENT);
        }
        if !says("load_balance_hosts=") {
            // A host that hangs takes connections and says nothing: it must not always stand before the others.
            url.config.load_balance_hosts(LoadBalanceHosts::Random);
        }
        url.complete();
        Ok(url)
    }
}

impl Url {
    /// Sets what the text leaves open.
    fn complete(&mut self) {
        let config = &mut self.config;
        // Whoever reads from a standby may be told that a number is free which is not.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECTING);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(ASKED_EVERY);
        }
        if config.get_application_name().is_none() {
            config.application_name("callveil");
        }
        if config.get_dbname().is_none() {
            config.dbname("callveil");
        }
    }

    /// How statements are sent.
    pub(super) fn preparing(&self) -> Preparing {
        self.preparing
    }

    /// Connections to the database, of which none is made yet.
    pub(super) fn pool(&self) -> Result<Pool, BadUrl> {
        let tls = MakeRustlsConnect::new(self.tls()?);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let timeouts =
            Timeouts { wait: Some(WAIT_FOR_CONNECTION), create: Some(WAIT_FOR_HOSTS), recycle: None };
        Pool::builder(Manager::from_config(self.config.clone(), tls, recycling))
            .max_size(self.connections)
            .runtime(Runtime::Tokio1)
            .timeouts(timeouts)
            .build()
            .map_err(|e| BadUrl(e.to_string()))
    }

    fn tls(&self) -> Result<ClientConfig, BadUrl> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| BadUrl(e.to_string()))?;
        Ok(match &self.trust {
            Trust::Certified(file) => {
                builder.with_root_certificates(roots(file.as_ref())?).with_no_client_auth()
            }
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(WhoeverItIs(provider)))
                .with_no_client_auth(),
        })
    }

    /// The role that reads what is one tenant's, if there is one.
    pub(super) fn tenant_role(&self) -> Option<&str> {
        self.tenant_role.as_deref()
    }

    /// How many connections a node may hold.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }
}

/// Whether a name is one that SQL takes as it stands.
fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    name.bytes().next().is_some_and(plain)
        && name.len() < 64
        && name.bytes().all(|b| plain(b) || b.is_ascii_digit())
}

/// How long a new connection may take, with all hosts that are tried for it.
const WAIT_FOR_HOSTS: Duration = Duration::from_secs(10);

/// How long a free connection is waited for.
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(5);

fn roots(file: Option<&PathBuf>) -> Result<RootCertStore, BadUrl> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            let unreadable = |why: String| BadUrl(format!("names certificates in {}: {why}", path.display()));
            let pem = fs::read(path).map_err(|e| unreadable(e.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| unreadable(format!("{e:?}")))?;
                roots.add(certificate).map_err(|e| unreadable(e.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.text.split_once("://").unwrap_or(("postgres", ""));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (login, place) =
            rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        write!(f, "{scheme}://")?;
        if let Some(login) = login {
            write!(f, "{}@", login.split(':').next().unwrap_or_default())?;
        }
        f.write_str(place)?;
        let shown: Vec<&str> = query
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty() && !p.starts_with("password="))
            .collect();
        match shown.is_empty() {
            true => Ok(()),
            false => write!(f, "?{}", shown.join("&")),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Takes every certificate, but checks that the server has its key.
#[derive(Debug)]
struct WhoeverItIs(Arc<CryptoProvider>);

impl ServerCertVerifier for WhoeverItIs {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Url>().unwrap().to_string()
    }

    #[test]
    fn a_url_prints_itself_without_its_password() {
        assert_eq!(shown("postgres://veil:p%40ss@db/callveil"), "postgres://veil@db/callveil");
        assert_eq!(
            shown("postgresql://veil@a:1,b:2/x?password=secret&pool=20"),
            "postgresql://veil@a:1,b:2/x?pool=20"
        );
        assert_eq!(
            shown("postgres:///callveil?host=/run/postgresql"),
            "postgres:///callveil?host=/run/postgresql"
        );
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_password() {
        for (text, why) in [
            ("postgres://veil:secret@db:port/x", "is no connection string of PostgreSQL's"),
            ("postgres://veil:secret@db/x?pool=0", "from 3 to 1000"),
            ("postgres://veil:secret@db/x?pgbouncer=maybe", "neither true nor false"),
            ("postgres://veil:secret@db/x?sslmode=sometimes", "sslmode"),
            ("postgres://veil:secret@db/x?tenant_role=Bobby;", "a tenant_role"),
        ] {
            let refused = text.parse::<Url>().unwrap_err().to_string();
            assert!(refused.contains(why) && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_host_that_goes_without_a_word_is_found_out_unless_it_is_said_otherwise() {
        for (parameters, idle, interval) in
            [("", 5, 1), ("?keepalives_idle=7200", 7200, 1), ("?keepalives_interval=30", 5, 30)]
        {
            let url: Url = format!("postgres://a,b,c/callveil{parameters}").parse().unwrap();
            assert!(url.config.get_keepalives());
            assert_eq!(url.config.get_keepalives_idle(), Duration::from_secs(idle), "{parameters}");
            assert_eq!(
                url.config.get_keepalives_interval(),
                Some(Duration::from_secs(interval)),
                "{parameters}"
            );
        }
    }

    #[test]
    fn only_a_server_that_takes_writes_is_used() {
        let url: Url = "postgres://a,b,c/callveil?sslmode=verify-full".parse().unwrap();
        assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(url.config.get_hosts().len(), 3);
        assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(url.trust, Trust::Certified(None));
    }
}
