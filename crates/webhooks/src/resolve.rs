//! From names to addresses. What comes out is not trusted: the connector looks at every address.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// Asks for the addresses of names.
pub struct Resolver(TokioResolver);

impl Resolver {
    /// The resolver that the machine is configured for, with its hosts file. A machine that says nothing asks itself
    /// (resolv.conf(5)).
    pub fn of_the_system() -> io::Result<Resolver> {
        let Ok(mut builder) = TokioResolver::builder_tokio() else {
            return Resolver::of_server(NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into()));
        };
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Resolver).map_err(io::Error::other)
    }

    /// A resolver that asks this name server alone.
    pub fn of_server(server: NameServerConfig) -> io::Result<Resolver> {
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map(Resolver).map_err(io::Error::other)
    }

    /// The addresses of a name, those of IPv4 first. They are asked for anew once their time to live is over.
    pub async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.0.lookup_ip(name).await.map_err(io::Error::other)?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}
