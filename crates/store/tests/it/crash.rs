//! A process that is killed in the middle of its writing: what was answered is there whole, and nothing in part.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId, Ending};
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{Outcome, Store};
use callveil_domain::verify;
use callveil_store::sqlite::{Mode, SqliteStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::{Place, acme, allocation, at, create, end, furnish};

/// Names the database that the child is to write to.
const DATABASE: &str = "CALLVEIL_TEST_CRASH_DATABASE";

/// Tells children apart, so that each writes allocations of its own.
const ROUND: &str = "CALLVEIL_TEST_CRASH_ROUND";

/// A longer form of the test: as many rounds as this says.
const ROUNDS: &str = "CALLVEIL_TEST_CRASH_ROUNDS";

#[tokio::test]
async fn what_was_answered_survives_kill_9_and_nothing_is_there_in_part() {
    let place = Place::new();
    furnish(&SqliteStore::open(&place.database(), Mode::Serve).unwrap(), 9).await;
    let rounds = std::env::var(ROUNDS).map_or(10, |rounds| rounds.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(rounds);
    let mut acknowledged = BTreeMap::new();
    for round in 0..rounds {
        acknowledged.append(&mut write_and_die(&place.database(), round, rng.random_range(1..400)));

        let store = SqliteStore::open(&place.database(), Mode::Serve).unwrap();
        check(&store, &acknowledged).await;
    }
    assert!(acknowledged.len() > 100, "{} changes were answered", acknowledged.len());
}

/// Has a child write until it has answered so many times, kills it, and tells what it answered: ids and versions.
fn write_and_die(database: &Path, round: u64, answers: usize) -> BTreeMap<AllocationId, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = BTreeMap::new();
    let mut line = String::new();
    while acknowledged.len() < answers && told.read_line(&mut line).unwrap() > 0 {
        acknowledged.extend(read_answer(&line));
        line.clear();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    // What the child told before it died counts as well; a line that it did not end does not.
    let mut rest = line;
    told.read_to_string(&mut rest).unwrap();
    let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for (id, version) in whole.lines().filter_map(read_answer) {
        acknowledged.insert(id, version);
    }
    acknowledged
}

fn read_answer(line: &str) -> Option<(AllocationId, u64)> {
    let (id, version) = line.trim().strip_prefix("answered ")?.split_once(' ')?;
    Some((AllocationId::parse(id)?, version.parse().ok()?))
}

async fn check(store: &SqliteStore, acknowledged: &BTreeMap<AllocationId, u64>) {
    for (id, version) in acknowledged {
        let kept = store.allocation(&acme(), *id).await.unwrap().expect("an answered allocation is there");
        assert!(kept.version >= *version, "an answered change of {id} is there");
    }
    let report = verify::verify(store, at(1)).await.unwrap();
    assert_eq!(report.findings, []);
    let claims = store.claims_after(None, usize::MAX).await.unwrap();
    let kept = store.allocations_after(None, usize::MAX).await.unwrap();
    let expected: usize = kept.iter().map(|a| a.claims().len()).sum();
    assert_eq!(claims.len(), expected, "each claim came and stayed with its allocation");
}

/// Not a test of its own: the child of the one above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by what_was_answered_survives_kill_9_and_nothing_is_there_in_part"]
async fn writes_until_it_is_killed() {
    let database = std::env::var(DATABASE).unwrap();
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = Arc::new(SqliteStore::open(Path::new(&database), Mode::Serve).unwrap());
    let writers: Vec<_> =
        (0..8).map(|writer| tokio::spawn(write(store.clone(), round * 8 + writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[expect(clippy::print_stdout, reason = "this is how the child tells what it was answered")]
async fn write(store: Arc<SqliteStore>, writer: u64) {
    let mut rng = StdRng::seed_from_u64(writer);
    for n in 1..1_000_000 {
        let lent = any_allocation(writer, n, &mut rng);
        assert_eq!(store.apply(create(&lent)).await.unwrap(), Outcome::Applied);
        println!("answered {} 1", lent.id);
        if n % 3 == 0 {
            assert_eq!(store.apply(end(&lent, at(1), Ending::Released)).await.unwrap(), Outcome::Applied);
            println!("answered {} 2", lent.id);
        }
    }
}

/// An allocation with keys that no other has: its people are of a country code that nobody has.
fn any_allocation(writer: u64, n: u64, rng: &mut StdRng) -> Allocation {
    let nobody =
        |side: u64| PhoneNumber::from_digits(999_000_000_000_000 + writer * 10_000_000 + n * 10 + side);
    let mut lent = allocation(1, crate::world::vn(1 + n % 9), 1, 2);
    lent.id = AllocationId::new(at(1), rng);
    lent.connection = ConnectionId::parse(&format!("order-{writer}-{n}")).unwrap();
    lent.parties.a.numbers = vec![nobody(1).unwrap(), nobody(2).unwrap()];
    lent.parties.b.numbers = vec![nobody(3).unwrap()];
    lent
}
