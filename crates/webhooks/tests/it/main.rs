//! Messages to real receivers on loopback, with every wait bounded.

#[cfg(test)]
mod attempts;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod sink;
#[cfg(test)]
mod world;
