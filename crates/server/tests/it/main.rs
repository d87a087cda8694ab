//! Whole conversations with the real program: commands and servers in directories of their own, on free ports of
//! loopback, with every wait bounded.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod baresip;
#[cfg(test)]
mod calls;
#[cfg(test)]
#[path = "../../../store/tests/it/cluster.rs"]
#[expect(dead_code, reason = "the suite of the store uses the rest")]
mod cluster;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod http;
#[cfg(test)]
mod intruders;
#[cfg(test)]
mod leak;
#[cfg(test)]
mod life;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod nul;
#[cfg(test)]
mod phone;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rtpengine;
#[cfg(test)]
mod samples;
#[cfg(test)]
#[path = "../../../voice/tests/it/script.rs"]
#[expect(dead_code, reason = "the suite of the telephone side uses the rest")]
mod script;
#[cfg(test)]
mod sipp;
#[cfg(test)]
mod sound;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod world;
