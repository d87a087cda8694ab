//! `callveil event tail`: what happens, as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use callveil_domain::event::{COME_TO_LIGHT, Event, EventId, EventKind};
use callveil_domain::store::{EventQuery, Order, StoreError};
use callveil_domain::time::Timestamp;
use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::{Told, kind};
use crate::command::{Ending, OfTenant, Options};
use crate::error::CommandError;
use crate::installation::{Installation, Missing};
use crate::output::Output;

/// Follow a tenant's events: a line for each, until it is interrupted
///
/// With --json, each line is what a webhook would carry.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  callveil event tail --tenant acme
  callveil event tail --tenant acme --json --unmasked | jq .")]
pub struct Tail {
    #[command(flatten)]
    of: OfTenant,
    /// Of this kind alone
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<EventKind>,
    /// End after so many
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    /// Show numbers and pins whole
    #[arg(long)]
    unmasked: bool,
}

/// How often it is looked for news.
const LOOK: Duration = Duration::from_millis(250);

/// How many events are read at a time.
const PAGE: usize = 500;

impl Tail {
    pub fn run(self, options: &Options, out: &mut Output) -> Result<Ending, CommandError> {
        let Tail { of, kind, count, unmasked } = self;
        options.on_installation(Missing::Refuse, async |at| {
            let tenant = at.tenant(&of.tenant)?;
            let doing = format!("following events of {}", tenant.sid);
            let mut follower = Follower { kind, begin: at.node.now(), seen: BTreeMap::new() };
            let mut left = count.unwrap_or(u64::MAX);
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                let news = follower.news(at, &of).await.map_err(|e| CommandError::store(&doing, &e))?;
                for event in news {
                    out.show(&Told::of(&event, !unmasked))?;
                    left -= 1;
                    if left == 0 {
                        return Ok(Ending::Done);
                    }
                }
            }
        })
    }
}

/// Reads what is new, with what has come to light late.
struct Follower {
    kind: Option<EventKind>,
    begin: Timestamp,
    /// What was shown of the time that is looked at again.
    seen: BTreeMap<EventId, Timestamp>,
}

impl Follower {
    async fn news(&mut self, at: &Installation, of: &OfTenant) -> Result<Vec<Event>, StoreError> {
        let horizon = at.node.now().minus(COME_TO_LIGHT).max(self.begin);
        self.seen.retain(|_, at| *at >= horizon);
        let mut news = Vec::new();
        let mut past = None;
        loop {
            let wanted = EventQuery {
                from: horizon,
                to: Timestamp::NEVER,
                kind: self.kind,
                allocation: None,
                call: None,
                order: Order::Oldest,
                past,
                limit: PAGE,
            };
            let page = at.node.store().events(&of.tenant, wanted).await?;
            let Some(last) = page.last() else { return Ok(news) };
            past = Some(last.id);
            news.extend(page.into_iter().filter(|event| self.seen.insert(event.id, event.at).is_none()));
        }
    }
}
