//! The figures of the telephone side, for Prometheus. Every label is of a closed set, or the operator's name for a trunk;
//! none can hold a number.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::media::Engine;
use crate::sip::{KeptOut, Sip, TrunkFigures};

/// What is counted of calls as they go. A clone is the same.
#[derive(Clone, Debug)]
pub struct Calls {
    ended: Family<Ended, Counter>,
    going_on: Gauge,
    talking: Gauge,
    talked: Counter<f64, AtomicU64>,
    ringing: Histogram,
    unrecorded: Counter,
}

/// How a call ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Ended {
    /// `completed`, `given-up`, `not-answered`, `refused`.
    pub end: &'static str,
    /// By whom it was ended, why nobody answered, why it was refused.
    pub reason: &'static str,
}

impl Default for Calls {
    fn default() -> Calls {
        // A telephone abroad may take ten seconds and more to ring.
        let delays = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0];
        Calls {
            ended: Family::default(),
            going_on: Gauge::default(),
            talking: Gauge::default(),
            talked: Counter::default(),
            ringing: Histogram::new(delays),
            unrecorded: Counter::default(),
        }
    }
}

impl Calls {
    pub(crate) fn begun(&self) -> Held {
        Held::of(&self.going_on)
    }

    pub(crate) fn talks(&self) -> Held {
        Held::of(&self.talking)
    }

    pub(crate) fn rings_after(&self, delay: Duration) {
        self.ringing.observe(delay.as_secs_f64());
    }

    pub(crate) fn is_not_recorded(&self) {
        self.unrecorded.inc();
    }

    pub(crate) fn ended(&self, ended: &Ended, talked: Duration) {
        self.ended.get_or_create(ended).inc();
        self.talked.inc_by(talked.as_secs_f64());
    }
}

/// One that a gauge counts, until it is dropped.
pub(crate) struct Held(Gauge);

impl Held {
    fn of(gauge: &Gauge) -> Held {
        gauge.inc();
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers the figures of a node's calls, trunks and ports.
pub fn register(registry: &mut Registry, calls: &Calls, sip: &Sip, engine: Arc<dyn Engine>) {
    let Calls { ended, going_on, talking, talked, ringing, unrecorded } = calls.clone();
    registry.register("callveil_calls_ended", "Calls that have ended, by how and why", ended);
    registry.register("callveil_calls", "Calls that go on", going_on);
    registry.register("callveil_calls_talking", "Calls whose parties talk", talking);
    registry.register("callveil_talked_seconds", "Seconds that parties have talked", talked);
    registry.register(
        "callveil_ringing_delay_seconds",
        "Time from a call's arrival until a telephone rings",
        ringing,
    );
    registry.register(
        "callveil_recording_failures",
        "Recordings that were not begun, or ended before their call",
        unrecorded,
    );
    registry.register_collector(Box::new(Standing { sip: sip.clone(), engine }));
}

/// What is looked up at the moment of asking.
struct Standing {
    sip: Sip,
    engine: Arc<dyn Engine>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").finish_non_exhaustive()
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.sip.counts();
        gauge(&mut encoder, "callveil_sip_dialogs", "Legs of calls", counts.dialogs)?;
        gauge(
            &mut encoder,
            "callveil_sip_transactions",
            "Transactions of SIP that run",
            counts.transactions,
        )?;
        let connections = self.sip.connections();
        gauge(&mut encoder, "callveil_sip_connections", "Connections that peers have made", connections)?;
        if let Some(ports) = self.engine.ports() {
            gauge(&mut encoder, "callveil_media_ports", "Pairs of ports for sound", ports.all)?;
            gauge(&mut encoder, "callveil_media_ports_used", "Pairs of ports that are lent", ports.used)?;
        }
        let dropped = self.sip.dropped();
        let dropped = dropped.iter().map(|(why, count)| ([("reason", word(*why))], *count));
        family(&mut encoder, COUNTER, "callveil_sip_dropped", "Messages that were not let in", dropped)?;

        let trunks = self.sip.trunk_figures();
        let of = |value: fn(&TrunkFigures) -> u64| {
            trunks.iter().map(move |trunk| ([("trunk", trunk.name.as_str().to_owned())], value(trunk)))
        };
        family(&mut encoder, GAUGE, "callveil_trunk_calls", "Legs that a trunk carries", of(|t| t.calls))?;
        family(
            &mut encoder,
            GAUGE,
            "callveil_trunk_failed_addresses",
            "Addresses of a trunk that have not answered lately",
            of(|t| t.failed),
        )?;
        let registered = trunks.iter().filter_map(|trunk| {
            Some(([("trunk", trunk.name.as_str().to_owned())], u64::from(trunk.registered?)))
        });
        family(
            &mut encoder,
            GAUGE,
            "callveil_trunk_registered",
            "Whether we are registered with a trunk that wants it",
            registered,
        )?;
        let attempts = trunks.iter().flat_map(|trunk| {
            let classes = ["2xx", "3xx", "4xx", "5xx", "6xx"].into_iter().zip(trunk.attempts);
            let name = trunk.name.as_str();
            classes.map(move |(class, count)| ([("trunk", name), ("status", class)], count))
        });
        family(
            &mut encoder,
            COUNTER,
            "callveil_trunk_attempts",
            "Tries to ring by a trunk, by what came of them",
            attempts,
        )
    }
}

const GAUGE: MetricType = MetricType::Gauge;
const COUNTER: MetricType = MetricType::Counter;

fn word(why: KeptOut) -> &'static str {
    match why {
        KeptOut::Stranger => "stranger",
        KeptOut::TooMany => "too-many",
        KeptOut::Noise => "noise",
        KeptOut::Refused => "refused",
        KeptOut::NoRoom => "no-room",
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> Result<(), fmt::Error> {
    encoder.encode_descriptor(name, help, None, GAUGE)?.encode_gauge(&value)
}

/// Values of one name, each under its labels.
fn family<V: EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(&'static str, V); N], u64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        let mut one = metric.encode_family(&labels)?;
        if matches!(kind, MetricType::Counter) {
            one.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        } else {
            one.encode_gauge(&value)?;
        }
    }
    Ok(())
}
