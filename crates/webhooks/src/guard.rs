//! Where a webhook may go: the guard against endpoints that point into the operator's own network.
//!
//! A URL is written by a tenant, and the program that posts to it stands where the tenant does not. So a URL is read
//! strictly ([`Guard::target`]), and every address that it leads to is looked at in the moment of connecting
//! ([`Guard::lets`]), however often the name has been resolved before. What is not plainly a public address is
//! refused, unless the operator has allowed its network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;
pub use ipnet::IpNet as Network;
use url::{Host, Url};

/// What the operator lets webhooks reach.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Networks that are reached although they are not public.
    pub allow: Vec<Network>,
    /// Whether `http:` is as good as `https:`.
    pub allow_http: bool,
}

/// The longest URL that is read.
const LONGEST: usize = 2_048;

/// A port below this one belongs to a protocol of its own, save for the two of HTTP.
const FIRST_FREE_PORT: u16 = 1_024;

impl Guard {
    /// Reads an endpoint's URL.
    pub fn target(&self, text: &str) -> Result<Target, Forbidden> {
        if text.len() > LONGEST || text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return Err(Forbidden::Form);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Forbidden::Form)?;
        match scheme.to_ascii_lowercase().as_str() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(Forbidden::Scheme),
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(Forbidden::UserInfo);
        }
        let url = Url::parse(text).map_err(|_| Forbidden::Form)?;
        let host = url.host_str().ok_or(Forbidden::Form)?;
        // Other spellings of an address or a name (`0x7f.1`, `2130706433`, `%31`, a full-width digit) come out of
        // the parser as something else than went in, and what is odd is refused rather than understood.
        if !written_host(authority).eq_ignore_ascii_case(host) || host.ends_with('.') {
            return Err(Forbidden::OddHost);
        }
        match url.port_or_known_default() {
            Some(80 | 443) => {}
            Some(port) if port >= FIRST_FREE_PORT => {}
            Some(_) | None => return Err(Forbidden::Port),
        }
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            Some(Host::Domain(_)) | None => None,
        };
        if address.is_some_and(|address| !self.lets(address)) {
            return Err(Forbidden::Address);
        }
        let mut sent = url;
        sent.set_fragment(None);
        let uri = sent.as_str().parse().map_err(|_| Forbidden::Form)?;
        Ok(Target(uri))
    }

    /// Whether a connection to this address may be opened.
    pub fn lets(&self, address: IpAddr) -> bool {
        is_public(address) || self.allow.iter().any(|network| network.contains(&address))
    }
}

/// The host as it stands in the URL, without the port.
fn written_host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        Some(_) | None => authority,
    }
}

/// A URL that has been read and may be tried: its host is a name, or an address that may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Uri);

impl Target {
    /// The URL, without a fragment.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Why an endpoint is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No URL that could be posted to.
    #[error("the URL is not an https URL of at most 2048 printable characters")]
    Form,
    /// Another protocol.
    #[error("the URL is not https")]
    Scheme,
    /// A name or a password before the host: they would end in logs, and they hide the host from the reader.
    #[error("the URL carries a name or a password")]
    UserInfo,
    /// The host is not written as it is meant.
    #[error("the host is not written in its plain form")]
    OddHost,
    /// A port that belongs to another protocol.
    #[error("the port belongs to another protocol than HTTP")]
    Port,
    /// The address, or each address of the name, is not public.
    #[error("the address is not a public one")]
    Address,
}

/// Whether an address is one that anybody on the Internet may reach, and nothing that leads elsewhere.
///
/// It follows the special-purpose registries of IANA (RFC 6890). Of IPv6 only the space that is given out (2000::/3) is
/// public, so that all that embeds an address of IPv4 (mapped, translated, ISATAP) is left out with the rest.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        // This network; private; loopback; multicast, reserved and broadcast.
        [0 | 10 | 127 | 224..=255, ..] => true,
        // Shared by carriers (RFC 6598).
        [100, 64..=127, ..] => true,
        // Link-local, with the clouds' metadata.
        [169, 254, ..] => true,
        [172, 16..=31, ..] | [192, 168, ..] => true,
        // Protocol assignments; documentation; relays of 6to4.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        // Benchmarks; documentation.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let special = match address.segments() {
        // Protocol assignments, Teredo among them; documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] => true,
        // 6to4 carries an address of IPv4.
        [0x2002, ..] => true,
        // Documentation (RFC 9637).
        [0x3fff, 0..=0xfff, ..] => true,
        // ISATAP carries an address of IPv4 (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => true,
        [0x2000..=0x3fff, ..] => false,
        _ => true,
    };
    !special
}

impl fmt::Display for Target {
    /// Scheme and host: the path may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{host}", self.0.scheme_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
