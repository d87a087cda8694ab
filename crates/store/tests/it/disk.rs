//! Disks that are full or refuse writes: clear answers, nothing lost, and all is well again when the disk is.
//!
//! These make small file systems of their own, for which they must be root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use callveil_domain::allocation::{Allocation, AllocationId, ConnectionId};
use callveil_domain::number::PhoneNumber;
use callveil_domain::store::{Outcome, Store, StoreError};
use callveil_domain::verify;
use callveil_store::sqlite::{Mode, OpenError, SqliteStore};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;

use crate::world::{acme, allocation, at, create, furnish, vn};

/// A file system that lasts as long as this value.
struct Disk {
    directory: TempDir,
}

impl Disk {
    fn in_memory(megabytes: u32) -> Disk {
        let disk = Disk { directory: tempfile::tempdir().unwrap() };
        run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "callveil-test", disk.path()]);
        disk
    }

    fn in_file(image: &Path) -> Disk {
        let disk = Disk { directory: tempfile::tempdir().unwrap() };
        File::create(image).unwrap().set_len(32 << 20).unwrap();
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        run("mount", &["-o", "loop", image.to_str().unwrap(), disk.path()]);
        disk
    }

    fn path(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[self.path()]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test must be root to run {program} {arguments:?}: {said}");
}

/// The `n`th of allocations that have no key in common.
fn any_allocation(n: u64) -> Allocation {
    let nobody = |side: u64| PhoneNumber::from_digits(999_000_000_000_000 + n * 10 + side).unwrap();
    let mut lent = allocation(1, vn(1), 1, 2);
    lent.id = AllocationId::new(at(1), &mut StdRng::seed_from_u64(n));
    lent.connection = ConnectionId::parse(&format!("order-{n}")).unwrap();
    lent.parties.a.numbers = vec![nobody(1)];
    lent.parties.b.numbers = vec![nobody(2)];
    lent
}

/// Writes allocations until the store refuses several in a row; answers with those that were acknowledged. One that
/// is refused may have come just before the log began again from its start, and left room for the next.
async fn write_until_refused(store: &SqliteStore) -> (Vec<Allocation>, StoreError) {
    let mut acknowledged = Vec::new();
    let mut refused_in_a_row = 0;
    for n in 0..1_000_000 {
        let lent = any_allocation(n);
        match store.apply(create(&lent)).await {
            Ok(outcome) => {
                assert_eq!(outcome, Outcome::Applied);
                acknowledged.push(lent);
                refused_in_a_row = 0;
            }
            Err(error) if refused_in_a_row == 5 => return (acknowledged, error),
            Err(_) => refused_in_a_row += 1,
        }
    }
    panic!("the disk never fills");
}

async fn check(store: &SqliteStore, acknowledged: &[Allocation]) {
    for lent in acknowledged {
        assert_eq!(store.allocation(&acme(), lent.id).await.unwrap().as_ref(), Some(lent));
    }
    assert_eq!(store.allocations_after(None, usize::MAX).await.unwrap().len(), acknowledged.len());
    assert_eq!(verify::verify(store, at(1)).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_full_disk_is_told_loses_nothing_and_heals() {
    let disk = Disk::in_memory(12);
    let store = SqliteStore::open(&disk.file("callveil.db"), Mode::Serve).unwrap();
    furnish(&store, 9).await;
    fs::write(disk.file("ballast"), vec![1; 4 << 20]).unwrap();

    let (mut acknowledged, error) = write_until_refused(&store).await;
    assert!(matches!(&error, StoreError::Unavailable(sentence) if sentence.contains("full")), "{error}");
    check(&store, &acknowledged).await;

    fs::remove_file(disk.file("ballast")).unwrap();
    let next = any_allocation(1_000_000);
    assert_eq!(store.apply(create(&next)).await.unwrap(), Outcome::Applied);
    acknowledged.push(next);
    check(&store, &acknowledged).await;

    drop(store);
    let store = SqliteStore::open(&disk.file("callveil.db"), Mode::Serve).unwrap();
    check(&store, &acknowledged).await;
}

#[tokio::test]
async fn files_that_refuse_writes_are_told_lose_nothing_and_heal() {
    let image = tempfile::tempdir().unwrap();
    let disk = Disk::in_file(&image.path().join("image"));
    let store = SqliteStore::open(&disk.file("callveil.db"), Mode::Serve).unwrap();
    furnish(&store, 9).await;
    let before = any_allocation(1);
    assert_eq!(store.apply(create(&before)).await.unwrap(), Outcome::Applied);
    let log = disk.file("callveil.db-wal");

    run("chattr", &["+i", log.to_str().unwrap()]);
    let refused = store.apply(create(&any_allocation(2))).await;
    run("chattr", &["-i", log.to_str().unwrap()]);

    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    check(&store, std::slice::from_ref(&before)).await;
    let after = any_allocation(2);
    assert_eq!(store.apply(create(&after)).await.unwrap(), Outcome::Applied);
    check(&store, &[before, after]).await;
}

#[tokio::test]
async fn a_database_on_a_read_only_disk_is_refused_until_it_can_be_written() {
    let disk = Disk::in_memory(12);
    let database = disk.file("callveil.db");
    let store = SqliteStore::open(&database, Mode::Serve).unwrap();
    furnish(&store, 9).await;
    let lent = any_allocation(1);
    assert_eq!(store.apply(create(&lent)).await.unwrap(), Outcome::Applied);
    drop(store);

    run("mount", &["-o", "remount,ro", disk.path()]);
    for mode in [Mode::Serve, Mode::Tool] {
        let error = SqliteStore::open(&database, mode).err().expect("a read-only disk is refused");
        assert!(error.to_string().contains(disk.path()), "{error}");
        assert!(matches!(error, OpenError::System { .. } | OpenError::Engine { .. }), "{error}");
    }
    run("mount", &["-o", "remount,rw", disk.path()]);

    let store = SqliteStore::open(&database, Mode::Serve).unwrap();
    check(&store, &[lent]).await;
}
