//! The demo: a tenant, a pool of made-up numbers and one allocation, so that requests can be tried at once.
//!
//! Its credentials lie beside the database, for their owner alone; a later start finds everything again.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callveil_domain::allocation::create::{CreateRefused, NewAllocation, NewParty, Preferences, create};
use callveil_domain::allocation::{Allocation, ConnectionId, State, Usage};
use callveil_domain::country::Country;
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::StoreError;
use callveil_domain::tenant::{Directory, Sid, Tenant};
use callveil_domain::virtual_number::{Lending, NumberType, Region, VirtualNumber};
use callveil_domain::{Ctx, Effect, Failure, admin};
use serde::Serialize;

use crate::command::number::put;
use crate::command::tenant;
use crate::config::Database;
use crate::credentials::Credentials;
use crate::error::CommandError;
use crate::installation::Installation;

/// The demo tenant.
const SID: &str = "demo";

/// How many virtual numbers it gets, over [`REGIONS`].
const NUMBERS: u32 = 100;

const REGIONS: [&str; 5] = ["KA", "MH", "DL", "TN", "WB"];

/// The parties of the allocation that the demo makes itself, and of the one that its reader makes: numbers that
/// belong to nobody.
const WELCOME: [&str; 2] = ["+919900000011", "+919900000012"];
const READERS: [&str; 2] = ["+919900000001", "+919900000002"];

/// What the reader of the demo is told.
#[derive(Clone, Serialize)]
pub struct Demo {
    #[serde(flatten)]
    credentials: Credentials,
    /// A connection id that is free, for the first request to try.
    connection_id: String,
    /// The demo's own allocation, for the second.
    greenvn_id: String,
    greenvn: String,
}

/// Makes what is not there yet.
pub async fn prepare(at: &Installation) -> Result<Demo, CommandError> {
    let sid = Sid::parse(SID).expect("law: the demo's SID is well formed");
    let credentials = credentials(at, &sid).await?;
    refresh(at).await?;
    if at.tenant(&sid)?.pool.numbers().is_empty() {
        put(at, &sid, &pool(), &|_| {}).await?;
        refresh(at).await?;
    }
    let tenant = at.tenant(&sid)?;
    let welcome = welcome(at, &tenant).await?;
    Ok(Demo {
        credentials,
        connection_id: free_name(at, &tenant, "order").await?.as_str().to_owned(),
        greenvn_id: welcome.id.to_string(),
        greenvn: welcome.virtual_number.expose().to_string(),
    })
}

async fn refresh(at: &Installation) -> Result<(), CommandError> {
    at.node.refresh().await.map(drop).map_err(|e| CommandError::store(DOING, &e))
}

const DOING: &str = "preparing the demo";

/// The demo's credentials: those that were kept if they are good still, or new ones.
async fn credentials(at: &Installation, sid: &Sid) -> Result<Credentials, CommandError> {
    let file = match &at.database {
        Database::Sqlite(path) => path.with_file_name("demo-credentials"),
        Database::Postgres(_) => PathBuf::from("demo-credentials"),
    };
    let directory = at.node.directory();
    if let Some(kept) = read(&file).filter(|kept| is_live(&directory, kept)) {
        return Ok(kept);
    }
    let made = match directory.tenant(SID) {
        None => tenant::create::create(at, sid).await?,
        Some(_) => another_key(at, sid, &directory).await?,
    };
    keep(&file, &made).map_err(|e| CommandError::new(format!("writing {}", file.display()), e))?;
    Ok(made)
}

/// A key in the place of the oldest, when there are as many as there may be: whoever lost the demo's file cannot
/// use that one either.
async fn another_key(
    at: &Installation,
    sid: &Sid,
    directory: &Directory,
) -> Result<Credentials, CommandError> {
    let keys = directory.keys_for(SID);
    let oldest = keys.iter().min_by_key(|key| key.created_at);
    if let Some(oldest) = oldest.filter(|_| keys.len() >= callveil_domain::tenant::LIVE_KEYS) {
        let revoke = async |ctx: &mut Ctx<'_>| admin::revoke_key(ctx, sid.clone(), oldest.id.clone()).await;
        at.change(DOING, sid, revoke).await?;
    }
    tenant::key::add::add(at, sid).await
}

fn is_live(directory: &Directory, kept: &Credentials) -> bool {
    directory.keys_for(SID).iter().any(|key| key.id == kept.api_key)
}

fn read(file: &Path) -> Option<Credentials> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

fn keep(file: &Path, credentials: &Credentials) -> io::Result<()> {
    let text = serde_json::to_string_pretty(credentials)?;
    let fresh: PathBuf = file.with_extension("new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writeln!(written, "{text}")?;
    written.sync_all()?;
    fs::rename(fresh, file)
}

fn pool() -> Vec<VirtualNumber> {
    let number = |n: u32| VirtualNumber {
        number: PhoneNumber::from_digits(918_000_000_000 + u64::from(n))
            .expect("law: twelve digits are a number"),
        region: Region::parse(REGIONS[n as usize % REGIONS.len()]).ok(),
        number_type: Some(if n.is_multiple_of(2) { NumberType::Landline } else { NumberType::Mobile }),
        flow: None,
        state: Lending::Open,
    };
    (1..=NUMBERS).map(number).collect()
}

/// The demo's own allocation: the one that is active, or a new one.
async fn welcome(at: &Installation, tenant: &Arc<Tenant>) -> Result<Allocation, CommandError> {
    let store = |e: StoreError| CommandError::store(DOING, &e);
    let name = name("welcome");
    let known = at.node.store().allocation_by_connection(&tenant.sid, &name).await.map_err(store)?;
    if let Some(known) = known.filter(|known| is_active(at, known)) {
        return Ok(known);
    }
    let [a, b] = WELCOME.map(party);
    let new = NewAllocation {
        connection: name,
        a,
        b,
        usage: Usage::TwoWay,
        lifetime: None,
        flow: None,
        preferences: Preferences::default(),
    };
    let made = at.act(Effect::Keep, async |ctx| create(ctx, tenant, new, None).await).await;
    match made {
        Ok(made) => Ok(made.allocation),
        Err(Failure::Store(error)) => Err(store(error)),
        Err(Failure::Refused(refused)) => Err(CommandError::new(DOING, why_not(&refused))
            .fix("`callveil serve --database sqlite:PATH --demo` begins anew in another file")),
    }
}

fn why_not(refused: &CreateRefused) -> &'static str {
    match refused {
        CreateRefused::NoVirtualNumber(_) => "no number of its pool is free",
        CreateRefused::Parties(_) | CreateRefused::Preferences(_) => "its settings do not let it",
        CreateRefused::ConnectionInUse | CreateRefused::Answered => "somebody else just did",
    }
}

/// The first of these names that no active allocation has.
async fn free_name(at: &Installation, tenant: &Tenant, stem: &str) -> Result<ConnectionId, CommandError> {
    for n in 1_u32.. {
        let name = name(&format!("{stem}-{n}"));
        let known = at.node.store().allocation_by_connection(&tenant.sid, &name).await;
        let known = known.map_err(|e| CommandError::store(DOING, &e))?;
        if !known.is_some_and(|known| is_active(at, &known)) {
            return Ok(name);
        }
    }
    unreachable!("law: there are more names than allocations")
}

fn is_active(at: &Installation, allocation: &Allocation) -> bool {
    matches!(allocation.state(at.node.now()), State::Active { .. })
}

fn name(text: &str) -> ConnectionId {
    ConnectionId::parse(text).expect("law: the demo's names are well formed")
}

fn party(number: &str) -> NewParty {
    let number = PhoneNumber::parse(number, Country::INDIA).expect("law: the demo's numbers are well formed");
    NewParty { numbers: vec![number], ..NewParty::default() }
}

impl Demo {
    /// The requests to try, ready to be pasted.
    pub fn tell(
        &self,
        f: &mut fmt::Formatter<'_>,
        api: &str,
        database: &str,
        sip: Option<&str>,
    ) -> fmt::Result {
        let Demo { credentials, connection_id, greenvn_id, greenvn } = self;
        let Credentials { sid, api_key, api_token } = credentials;
        let program = std::env::args().next().unwrap_or_else(|| "callveil".to_owned());
        let [a, b] = READERS;
        let [caller, called] = WELCOME;
        let curl = format!("curl -u {api_key}:{api_token}");
        let json = "-H 'Content-Type: application/json'";
        write!(
            f,
            "
Allocate a virtual number to two parties (each name may be used once while it is active):

  {curl} {json} {api}/v1/tenants/{sid}/greenvn \\
    -d '{{\"connection_id\":\"{connection_id}\",\"aparty_numbers\":[\"{a}\"],\"bparty_numbers\":[\"{b}\"],\"usage\":\"twoway\"}}'

Update the parties of an allocation (this one is the demo's own):

  {curl} {json} -X PUT {api}/v1/tenants/{sid}/greenvn/{greenvn_id}/call-party \\
    -d '{{\"bparty_numbers\":[\"{called}\",\"+919900000013\"],\"bparty_pins\":[483920],\"usage\":\"oneway\"}}'

See who would ring when its party A calls the virtual number:

  {program} call simulate --database {database} --from {caller} --to {greenvn}
"
        )?;
        let Some(sip) = sip else { return Ok(()) };
        write!(
            f,
            "
Make that call, with both telephones played by the command, and see what each of them gets to know:

  {program} trial-call --database {database} --sip {sip} --from {caller} --to {greenvn}
"
        )
    }
}
