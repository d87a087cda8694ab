//! What holds for the API as a whole: strangers stay outside, bad input is told what is wrong with it, the samples
//! that clients start from work.

#[cfg(test)]
mod around;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod health;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod strangers;
#[cfg(test)]
#[path = "../../src/world.rs"]
#[expect(dead_code, reason = "the tests beside the operations use the rest of it")]
mod world;
