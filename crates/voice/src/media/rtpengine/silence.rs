//! Notices parties that have gone. rtpengine tells of none, but counts what comes from each end: it is asked for the
//! counts now and then, and an end whose count has not grown for long enough is told as silent. One that cannot be
//! counted, since rtpengine has forgotten the call or does not answer, has not grown either.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval};

use super::bencode::{Dictionary, Value};
use super::client::Client;
use crate::media::{Event, LegNumber};

/// The longest that passes between two looks at a call.
const LOOK: Duration = Duration::from_secs(15);

/// Watches one call, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    ends: Arc<Mutex<Ends>>,
    watcher: AbortHandle,
}

/// The ends of which something is expected, by their names at rtpengine.
type Ends = BTreeMap<String, End>;

#[derive(Debug)]
struct End {
    leg: LegNumber,
    /// On hold, and with a right to be silent.
    held: bool,
    packets: u64,
    /// When the count last grew, or began to be expected to.
    since: Instant,
    told: bool,
}

impl Watch {
    /// Watches a call of this name. Nothing is expected of anybody yet.
    pub fn over(client: Arc<Client>, call: String, silence: Duration, events: mpsc::Sender<Event>) -> Watch {
        let ends = Arc::new(Mutex::new(Ends::new()));
        let watcher = tokio::spawn(watch(Arc::clone(&ends), client, call, silence, events)).abort_handle();
        Watch { ends, watcher }
    }

    /// Expects sound of an end from here on, or none while it is held.
    pub fn expect(&self, tag: &str, leg: LegNumber, held: bool) {
        let fresh = || End { leg, held, packets: 0, since: Instant::now(), told: false };
        let mut ends = lock(&self.ends);
        let end = ends.entry(tag.to_owned()).or_insert_with(fresh);
        if end.held != held {
            (end.held, end.since) = (held, Instant::now());
        }
    }

    /// Expects nothing of an end any more.
    pub fn forget(&self, tag: &str) {
        lock(&self.ends).remove(tag);
    }

    /// Expects nothing of anybody any more.
    pub fn forget_all(&self) {
        lock(&self.ends).clear();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

async fn watch(
    ends: Arc<Mutex<Ends>>,
    client: Arc<Client>,
    call: String,
    silence: Duration,
    events: mpsc::Sender<Event>,
) {
    let mut looks = interval((silence / 4).min(LOOK));
    loop {
        looks.tick().await;
        if lock(&ends).is_empty() {
            continue;
        }
        let order = Dictionary::from([("call-id".to_owned(), Value::text(call.clone()))]);
        let counted = client.order("query", order).await.ok();
        let now = Instant::now();
        for (tag, end) in lock(&ends).iter_mut() {
            let told = counted.as_ref().and_then(|counted| counted.get("tags")?.get(tag));
            if end.is_gone(told.map(packets), silence, now) {
                // Whoever does not listen any more needs no telling.
                let _ = events.try_send(Event::Silent(end.leg));
            }
        }
    }
}

impl End {
    /// Takes note of a count; tells once that it has not grown for so long.
    fn is_gone(&mut self, packets: Option<u64>, silence: Duration, now: Instant) -> bool {
        if let Some(packets) = packets.filter(|packets| *packets != self.packets) {
            (self.packets, self.since, self.told) = (packets, now, false);
        }
        let gone = !self.held && !self.told && now.duration_since(self.since) >= silence;
        self.told |= gone;
        gone
    }
}

/// Packets of sound that came from an end, as rtpengine counts them.
pub fn packets(tag: &Value) -> u64 {
    let medias = tag.get("medias").map(Value::items).unwrap_or_default();
    let streams = medias.iter().filter_map(|media| media.get("streams")?.items().first());
    let counts = streams.filter_map(|stream| stream.get("stats")?.get("packets")?.as_number());
    counts.filter_map(|count| u64::try_from(count).ok()).sum()
}

fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_whose_count_does_not_grow_is_told_once_and_again_after_sound() {
        let began = Instant::now();
        let mut end = End { leg: LegNumber::CALLER, held: false, packets: 0, since: began, told: false };
        let mut look = |packets, seconds| {
            end.is_gone(packets, Duration::from_secs(60), began + Duration::from_secs(seconds))
        };

        let told = [
            look(Some(5), 15),
            look(Some(5), 74),
            look(Some(5), 75),
            look(Some(5), 200),
            look(Some(6), 201),
            look(None, 260),
            look(None, 261),
        ];

        assert_eq!(told, [false, false, true, false, false, false, true]);
    }

    #[test]
    fn an_end_on_hold_may_be_silent() {
        let began = Instant::now();
        let mut end = End { leg: LegNumber(1), held: true, packets: 0, since: began, told: false };
        assert!(!end.is_gone(Some(0), Duration::from_secs(60), began + Duration::from_secs(600)));
    }
}
