//! From a trunk's target to the addresses to try, in their order (RFC 3263).
//!
//! The trunk says what carries its messages, so NAPTR is asked for one thing: where the SRV records of that transport are.
//! Among SRV records, the library draws by weight.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use callveil_domain::trunk::{Target, Transport};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::NAPTR;
use hickory_resolver::proto::rr::{RData, RecordType};
use rsipstack::resolver::sip_resolver::{LookupSource, SrvRecord, resolve_logic};
use rsipstack::sip::uri::Domain;

use super::carried_by;

/// Asks DNS, as the machine is configured to. What it answers is remembered for as long as it says.
pub(super) struct Names(TokioResolver);

impl Names {
    pub(super) fn of_the_system() -> Result<Names, String> {
        // A machine that says nothing asks itself (resolv.conf(5)).
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            let itself = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_name_servers(vec![itself]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Names).map_err(|error| error.to_string())
    }

    /// The addresses of a target; none when DNS has none.
    pub(super) async fn addresses(&self, target: &Target, transport: Transport) -> Vec<SocketAddr> {
        let secure = transport == Transport::Tls;
        if let Ok(address) = target.host.parse::<IpAddr>() {
            let usual = if secure { 5061 } else { 5060 };
            return vec![SocketAddr::new(address, target.port.unwrap_or(usual))];
        }
        let services = match target.port {
            Some(_) => Vec::new(),
            None => services(&self.pointers(&target.host).await, transport),
        };
        let source = Source { resolver: &self.0, services };
        let domain = Domain(target.host.clone());
        let port = target.port.map(Into::into);
        match resolve_logic(&source, &domain, port, Some(carried_by(transport)), secure).await {
            Ok(targets) => targets.into_iter().map(|target| target.addr).collect(),
            Err(_) => {
                tracing::warn!(target = %target, "the trunk's host {target} has no address");
                Vec::new()
            }
        }
    }

    async fn pointers(&self, host: &str) -> Vec<NAPTR> {
        let Ok(found) = self.0.lookup(host, RecordType::NAPTR).await else { return Vec::new() };
        let pointers = found.answers().iter().filter_map(|record| {
            let RData::NAPTR(pointer) = &record.data else { return None };
            Some(pointer.clone())
        });
        pointers.collect()
    }
}

/// The names of the SRV records that NAPTR leads to for a transport, the preferred first (RFC 3263 4.1).
fn services(pointers: &[NAPTR], transport: Transport) -> Vec<String> {
    let service: &[u8] = match transport {
        Transport::Udp => b"SIP+D2U",
        Transport::Tcp => b"SIP+D2T",
        Transport::Tls => b"SIPS+D2T",
    };
    let leads = |pointer: &&NAPTR| {
        pointer.flags.eq_ignore_ascii_case(b"s") && pointer.services.eq_ignore_ascii_case(service)
    };
    let mut leading: Vec<&NAPTR> = pointers.iter().filter(leads).collect();
    leading.sort_by_key(|pointer| (pointer.order, pointer.preference));
    // A higher order is not looked at once a lower one has led somewhere (RFC 3403 4.1).
    let order = leading.first().map(|pointer| pointer.order);
    let same_order = leading.into_iter().take_while(|pointer| Some(pointer.order) == order);
    same_order.map(|pointer| pointer.replacement.to_string().trim_end_matches('.').to_owned()).collect()
}

/// What the library asks: SRV records by the names that NAPTR gave before the usual one.
struct Source<'a> {
    resolver: &'a TokioResolver,
    services: Vec<String>,
}

#[async_trait]
impl LookupSource for Source<'_> {
    async fn lookup_srv(&self, usual: &str) -> Result<Vec<SrvRecord>, String> {
        for name in self.services.iter().map(String::as_str).chain([usual]) {
            let Ok(found) = self.resolver.srv_lookup(name).await else { continue };
            let records = found.answers().iter().filter_map(|record| {
                let RData::SRV(record) = &record.data else { return None };
                Some(SrvRecord {
                    target: record.target.to_string().trim_end_matches('.').to_owned(),
                    port: record.port,
                    priority: record.priority,
                    weight: record.weight,
                })
            });
            let records: Vec<SrvRecord> = records.collect();
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }

    async fn lookup_a_aaaa(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let found = self.resolver.lookup_ip(name).await.map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::rr::Name;

    use super::*;

    #[test]
    fn naptr_leads_to_the_srv_records_of_the_trunk_s_transport() {
        let pointer = |order, preference, flags: &str, service: &str, name: &str| {
            let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
            let name = Name::from_str(name).unwrap();
            NAPTR::new(order, preference, bytes(flags), bytes(service), bytes(""), name)
        };
        // As RFC 3263 4.1 has them, and some beside.
        let pointers = [
            pointer(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com."),
            pointer(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
            pointer(100, 60, "S", "sip+d2u", "_sip._udp.second.example.com."),
            pointer(100, 50, "s", "SIP+D2U", "_sip._udp.first.example.com."),
            pointer(110, 1, "s", "SIP+D2U", "_sip._udp.another-order.example.com."),
            pointer(1, 1, "u", "SIP+D2U", "."),
            pointer(1, 1, "s", "E2U+sip", "_sip._udp.enum.example.com."),
        ];
        let check = |transport, names: &[&str]| assert_eq!(services(&pointers, transport), names);
        check(Transport::Udp, &["_sip._udp.first.example.com", "_sip._udp.second.example.com"]);
        check(Transport::Tcp, &["_sip._tcp.example.com"]);
        check(Transport::Tls, &["_sips._tcp.example.com"]);
        assert!(services(&[], Transport::Udp).is_empty());
    }
}
