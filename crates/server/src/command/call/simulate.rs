//! `callveil call simulate`: the decision about a call, and why it falls so.

use std::fmt;
use std::sync::Arc;

use callveil_domain::allocation::{Allocation, Side, State, Usage};
use callveil_domain::call::CallId;
use callveil_domain::calls::CallRecord;
use callveil_domain::country::Country;
use callveil_domain::live::NodeId;
use callveil_domain::number::PhoneNumber;
use callveil_domain::pin::Pin;
use callveil_domain::routing::{Connection, Decision, NotJoined, RefuseReason, join_by_pin, route};
use callveil_domain::store::StoreError;
use callveil_domain::tenant::Tenant;
use callveil_domain::time::Timestamp;
use callveil_domain::{Ctx, Effect, Failure};
use clap::Args;
use serde::Serialize;

use crate::command::{Ending, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::{Output, time};

/// Tell what happens when somebody calls a virtual number, and why
///
/// Asks the very rules that decide real calls, on the data as it is, beside a running server or without one.
/// Nothing is changed: a pin is tried, and the caller joins only with --join.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil call simulate --from +919900000001 --to +918000000001
  callveil call simulate --from withheld --to +918000000001 --pin 483920
  callveil call simulate --from +919900000001 --to +918000000001 --json | jq -r .decision")]
pub struct Simulate {
    /// Who calls; 'withheld' for a caller whose number is not shown
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// The virtual number that is dialled
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// What the caller keys when asked for a pin
    #[arg(long, value_name = "DIGITS", value_parser = Pin::parse)]
    pin: Option<Pin>,
    /// Let the caller really join by the pin, as a real call would
    #[arg(long, requires = "pin")]
    join: bool,
}

impl Simulate {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        options.on_installation(Missing::Refuse, async |at| {
            let call = self.call(at)?;
            let effect = if self.join { Effect::Keep } else { Effect::Try };
            let story = at.act(effect, async |ctx| call.decide(ctx).await).await;
            out.show(&story.map_err(|e| CommandError::store("deciding the call", &e))?)?;
            Ok(Ending::Done)
        })
    }

    /// Reads both numbers against the country of the tenant that is called.
    fn call(&self, at: &Installation) -> Result<Call, CommandError> {
        let read = |name: &str, text: &str, country| {
            PhoneNumber::parse(text, country).map_err(|why| {
                CommandError::new(format!("reading {name}"), why)
                    .fix("write it as +<country code><number>, or --from withheld")
            })
        };
        let to = read("--to", &self.to, Country::INDIA)?;
        let country = at.node.directory().owner(to).map_or(Country::INDIA, |t| t.settings.country);
        let from = match self.from.as_str() {
            "withheld" => None,
            text => Some(read("--from", text, country)?),
        };
        let tenant = at.node.directory().owner(to).cloned();
        Ok(Call { tenant, from, to, pin: self.pin })
    }
}

struct Call {
    /// Whose the dialled number is.
    tenant: Option<Arc<Tenant>>,
    from: Option<PhoneNumber>,
    to: PhoneNumber,
    pin: Option<Pin>,
}

impl Call {
    async fn decide(&self, ctx: &mut Ctx<'_>) -> Result<Story, StoreError> {
        // Only to tell of; what holds is decided below.
        let holder = ctx.store.call_facts(self.to, self.from, ctx.now).await?.holder;
        let asked = route(ctx, self.from, self.to).await?;
        let (decision, by_pin) = match (asked, self.pin) {
            (Decision::AskForPin, Some(pin)) => match &self.tenant {
                Some(tenant) => {
                    let (id, node) = (CallId::new(ctx.now, ctx.rng), NodeId::new(ctx.now, ctx.rng));
                    let call = CallRecord::arrived(id, tenant, node, self.to, self.from, ctx.now);
                    (joined(join_by_pin(ctx, tenant, &call, pin).await)?, true)
                }
                // Taken out of its pool in this moment.
                None => (Decision::Refuse(RefuseReason::NotAVirtualNumber), false),
            },
            (decision, _) => (decision, false),
        };
        Ok(self.tell(decision, by_pin, holder, ctx))
    }

    fn tell(&self, decision: Decision, by_pin: bool, holder: Option<Allocation>, ctx: &Ctx<'_>) -> Story {
        let about = |allocation: &Allocation| AllocationTold::of(allocation, ctx.now);
        match decision {
            Decision::Connect(connection) => {
                let Connection { allocation, from, ring, show } = *connection;
                let joins = by_pin && self.from.is_some();
                Story {
                    decision: "connect",
                    reason: None,
                    why: why_connected(from, joins, by_pin, ctx.effect),
                    allocation: Some(about(&allocation)),
                    caller_side: Some(letter(from)),
                    ring: ring.iter().map(|number| number.expose().to_string()).collect(),
                    show: Some(show.expose().to_string()),
                }
            }
            Decision::AskForPin => Story {
                decision: "ask_for_pin",
                why: "the caller is no party there, and an allocation there takes pins".to_owned(),
                ..Story::default()
            },
            Decision::Refuse(reason) => Story {
                decision: "refuse",
                reason: Some(word(reason)),
                why: why_refused(reason).to_owned(),
                allocation: holder.as_ref().map(about),
                caller_side: holder.zip(self.from).and_then(|(a, from)| a.side_of(from)).map(letter),
                ..Story::default()
            },
        }
    }
}

fn joined(answer: Result<Connection, Failure<NotJoined>>) -> Result<Decision, StoreError> {
    match answer {
        Ok(connection) => Ok(Decision::Connect(Box::new(connection))),
        Err(Failure::Refused(NotJoined(why))) => Ok(Decision::Refuse(why)),
        Err(Failure::Store(error)) => Err(error),
    }
}

fn why_connected(from: Side, joins: bool, by_pin: bool, effect: Effect) -> String {
    let (side, other) = (letter(from), letter(from.other()));
    match (joins, effect) {
        (true, Effect::Keep) => format!("the pin opens side {side}, and the caller stands there from now on"),
        (true, Effect::Try) => format!("the pin opens side {side} (tried only: --join lets the caller join)"),
        (false, Effect::Keep | Effect::Try) if by_pin => {
            format!("the pin opens side {side}; a withheld number is not remembered")
        }
        (false, Effect::Keep | Effect::Try) => {
            format!("the caller stands on side {side}, so side {other} rings")
        }
    }
}

/// The decision, for the one who asked about these very numbers: they are shown in clear.
#[derive(Default, Serialize)]
struct Story {
    decision: &'static str,
    reason: Option<&'static str>,
    why: String,
    allocation: Option<AllocationTold>,
    caller_side: Option<&'static str>,
    ring: Vec<String>,
    /// What those who are rung see: the virtual number.
    show: Option<String>,
}

#[derive(Serialize)]
struct AllocationTold {
    greenvn_id: String,
    connection_id: String,
    tenant: String,
    usage: &'static str,
    state: &'static str,
    /// When it ends or ended.
    ends: String,
}

impl AllocationTold {
    fn of(allocation: &Allocation, now: Timestamp) -> AllocationTold {
        let (state, ends) = match allocation.state(now) {
            State::Active { until } => ("active", until),
            State::Cooling { since, until: _ } => ("vault", since),
        };
        AllocationTold {
            greenvn_id: allocation.id.to_string(),
            connection_id: allocation.connection.as_str().to_owned(),
            tenant: allocation.tenant.to_string(),
            usage: match allocation.usage {
                Usage::OneWay => "oneway",
                Usage::TwoWay => "twoway",
            },
            state,
            ends: time(ends),
        }
    }
}

fn letter(side: Side) -> &'static str {
    match side {
        Side::A => "A",
        Side::B => "B",
    }
}

fn word(reason: RefuseReason) -> &'static str {
    match reason {
        RefuseReason::NotAVirtualNumber => "not_a_virtual_number",
        RefuseReason::Loop => "loop",
        RefuseReason::UnknownCaller => "unknown_caller",
        RefuseReason::Ended => "ended",
        RefuseReason::NoLongerAParty => "no_longer_a_party",
        RefuseReason::OneWay => "one_way",
        RefuseReason::WrongPin => "wrong_pin",
    }
}

fn why_refused(reason: RefuseReason) -> &'static str {
    match reason {
        RefuseReason::NotAVirtualNumber => "the number dialled is in no pool",
        RefuseReason::Loop => {
            "the caller is a virtual number itself, and the call would go round in a circle"
        }
        RefuseReason::UnknownCaller => "the caller is no party there, and no pin would help",
        RefuseReason::Ended => "the caller's allocation has ended, and its numbers cool",
        RefuseReason::NoLongerAParty => {
            "the caller was taken out of the allocation, or the allocation has another virtual number"
        }
        RefuseReason::OneWay => {
            "the allocation is one-way: only side A may call, and the caller is on side B"
        }
        RefuseReason::WrongPin => "the pin opens nothing there",
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Story { decision, reason: _, why, allocation, caller_side, ring, show } = self;
        writeln!(f, "{}: {why}", decision.replace('_', " "))?;
        if let Some(AllocationTold { greenvn_id, connection_id, tenant, usage, state, ends }) = allocation {
            let end = if *state == "active" { "until" } else { "since" };
            writeln!(
                f,
                "  allocation  {greenvn_id} ({connection_id} of {tenant}, {usage}, {state} {end} {ends})"
            )?;
        }
        if let Some(side) = caller_side {
            writeln!(f, "  caller      side {side}")?;
        }
        if !ring.is_empty() {
            writeln!(f, "  ring        {}", ring.join(", then "))?;
        }
        if let Some(show) = show {
            writeln!(f, "  they see    {show}")?;
        }
        Ok(())
    }
}
