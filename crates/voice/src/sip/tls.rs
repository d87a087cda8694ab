//! SIP over TLS: who we are, whom we trust, and connections made and taken in our own way, because a trunk's name must
//! stand in the certificate at its other end.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callveil_domain::trunk::{Target, Trunk};
use rsipstack::sip::Transport as Carried;
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::tls::TlsConnection;
use rsipstack::transport::{SipAddr, SipConnection};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::stack::pause;
use super::streams::Streams;
use super::trunks::Trunks;

/// Who we are.
#[derive(Clone)]
pub struct Identity {
    /// Our certificate, and those up to its authority (PEM).
    pub certificate: Vec<u8>,
    /// Its private key (PEM).
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(...)")
    }
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Our side of TLS: takes connections, and makes them.
#[derive(Clone)]
pub(super) struct Tls {
    /// None without a certificate: then we only call.
    acceptor: Option<TlsAcceptor>,
    connector: TlsConnector,
    made: Arc<Mutex<HashMap<SocketAddr, CancellationToken>>>,
}

impl Tls {
    /// TLS with this identity, trusting these authorities (PEM), or those of the system.
    pub(super) fn new(identity: Option<&Identity>, authorities: Option<&[u8]>) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(roots(authorities)?);
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(Arc::clone(&roots));
        let (client, acceptor) = match identity {
            None => (client.with_no_client_auth(), None),
            Some(Identity { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate);
                let chain: Vec<_> =
                    chain.collect::<Result<_, _>>().map_err(|e| format!("the certificate: {e}"))?;
                let key = || PrivateKeyDer::from_pem_slice(key).map_err(|e| format!("the key: {e}"));
                let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
                    .with_safe_default_protocol_versions()
                    .map_err(|e| e.to_string())?;
                let server = match roots.is_empty() {
                    true => server.with_no_client_auth(),
                    false => {
                        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                        let verifier = verifier.allow_unauthenticated().build().map_err(|e| e.to_string())?;
                        server.with_client_cert_verifier(verifier)
                    }
                };
                let server = server.with_single_cert(chain.clone(), key()?).map_err(|e| e.to_string())?;
                let client = client.with_client_auth_cert(chain, key()?).map_err(|e| e.to_string())?;
                (client, Some(TlsAcceptor::from(Arc::new(server))))
            }
        };
        Ok(Tls { acceptor, connector: TlsConnector::from(Arc::new(client)), made: Arc::default() })
    }

    /// Sees to it that there is a connection to an address of a target, whose name its certificate must carry.
    pub(super) async fn connect(
        &self,
        endpoint: &EndpointInnerRef,
        target: &Target,
        address: SocketAddr,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        let is_open = self.made().get(&address).is_some_and(|open| !open.is_cancelled());
        if is_open {
            return Ok(());
        }
        let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            self.connector.connect(name, stream).await
        };
        let stream = timeout(HANDSHAKE, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        let remote = SipAddr { r#type: Some(Carried::Tls), addr: address.into() };
        let open = stop.child_token();
        let connection = TlsConnection::from_client_stream(stream, remote, Some(open.clone())).await;
        endpoint
            .transport_layer
            .add_connection(SipConnection::Tls(connection.map_err(|e| io::Error::other(super::kind(&e)))?));
        let mut made = self.made();
        made.retain(|_, open| !open.is_cancelled());
        made.insert(address, open);
        Ok(())
    }

    /// Takes connections from the sources of trunks, with the certificates that those trunks must show.
    pub(super) async fn accept(
        self,
        listener: TcpListener,
        endpoint: EndpointInnerRef,
        told: SocketAddr,
        trunks: Trunks,
        streams: Streams,
        stop: CancellationToken,
    ) {
        let Some(acceptor) = self.acceptor else { return };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            // A connection that cannot be taken is the peer's to make again. Too many open files last a while.
            let Ok((stream, source)) = accepted else {
                pause(Duration::from_millis(50)).await;
                continue;
            };
            let Some(way) = trunks.calling_from(source.ip()) else { continue };
            let Some(place) = streams.admit(source.ip()) else { continue };
            let Ok(stream) = streams.expect(stream, source) else { continue };
            let (acceptor, endpoint, open) = (acceptor.clone(), Arc::clone(&endpoint), stop.child_token());
            tokio::spawn(async move {
                let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                if !is_named(&way.trunk, shown) {
                    tracing::warn!(trunk = %way.trunk.name, "a connection of the trunk {} showed no certificate of its names", way.trunk.name);
                    return;
                }
                let local = SipAddr { r#type: Some(Carried::Tls), addr: told.into() };
                let remote = SipAddr { r#type: Some(Carried::Tls), addr: source.into() };
                let connection =
                    TlsConnection::from_server_stream(stream, local, remote, Some(open.clone())).await;
                if let Ok(connection) = connection {
                    endpoint.transport_layer.add_connection(SipConnection::Tls(connection));
                    open.cancelled().await;
                }
                drop(place);
            });
        }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, CancellationToken>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a certificate carries one of the trunk's names, if it asks for any.
fn is_named(trunk: &Trunk, certificate: Option<&CertificateDer<'_>>) -> bool {
    if trunk.certificate_names.is_empty() {
        return true;
    }
    let Some(certificate) = certificate.and_then(|der| ParsedCertificate::try_from(der).ok()) else {
        return false;
    };
    let carries = |name: &String| {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => match ServerName::try_from(name.as_str()) {
                Ok(name) => name,
                Err(_) => return false,
            },
        };
        verify_server_name(&certificate, &name).is_ok()
    };
    trunk.certificate_names.iter().any(carries)
}

fn roots(authorities: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| format!("the authorities: {e}"))?;
                roots.add(certificate).map_err(|e| format!("the authorities: {e}"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}
