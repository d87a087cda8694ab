//! Disks that are full or turn read-only under a running server: a clear answer, nothing lost, and all is well again
//! when the disk is.
//!
//! These make small file systems of their own, for which they must be root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Client};
use crate::world::{SOON, World, party, until};

/// A file system that lasts as long as this value.
pub struct Disk {
    directory: TempDir,
}

impl Disk {
    fn in_memory() -> Disk {
        let disk = Disk { directory: TempDir::new().unwrap() };
        run("mount", &["-t", "tmpfs", "-o", "size=12m", "callveil-test", disk.path()]);
        disk
    }

    pub fn in_file(image: &Path) -> Disk {
        let disk = Disk { directory: TempDir::new().unwrap() };
        File::create(image).unwrap().set_len(48 << 20).unwrap();
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        disk.mount(image);
        disk
    }

    fn mount(&self, image: &Path) {
        run("mount", &["-o", "loop", image.to_str().unwrap(), self.path()]);
    }

    fn path(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A world that keeps its database here, and all else elsewhere.
    pub fn world(&self) -> World {
        World::with_database(&self.file("callveil.db"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[self.path()]);
    }
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test must be root to run {program} {arguments:?}: {said}");
}

/// The `n`th of orders whose parties have nothing in common.
fn order(n: usize) -> Value {
    json!({
        "connection_id": format!("order-{n}"), "aparty_numbers": [party(2 * n)],
        "bparty_numbers": [party(2 * n + 1)], "usage": "twoway"
    })
}

/// Allocates until the server has refused several in a row; answers with the ids that were acknowledged. One that is
/// refused may leave room for a smaller one.
fn allocate_until_refused(client: &mut Client) -> (Vec<String>, Answer) {
    let mut acknowledged = Vec::new();
    let mut refused_in_a_row = 0;
    for n in 1..100_000 {
        let answer = client.post("", &order(n));
        match answer.status {
            200 => {
                acknowledged.push(answer.data()["greenvn_id"].as_str().unwrap().to_owned());
                refused_in_a_row = 0;
            }
            _ if refused_in_a_row == 5 => return (acknowledged, answer),
            _ => refused_in_a_row += 1,
        }
    }
    panic!("the disk never fills");
}

#[track_caller]
fn check_refusal(refused: &Answer) {
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds: u32 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!(seconds > 0);
    let told = refused.json();
    assert_eq!(told["success"], false);
    assert!(told["message"].as_str().is_some_and(|message| message.contains("try again")), "{told}");
}

#[track_caller]
fn check_all_there(client: &mut Client, acknowledged: &[String]) {
    for id in acknowledged {
        assert_eq!(client.get(&format!("/{id}")).data()["state"], "active", "{id}");
    }
}

#[track_caller]
fn check_verified(world: &World) {
    let ran = world.run(&["verify"]);
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_heals_when_there_is_room() {
    let disk = Disk::in_memory();
    let world = disk.world();
    let tenant = world.tenant("acme", 50);
    let server = world.serve();
    let mut client = tenant.client(&server);
    fill(&disk.file("ballast"));

    let (mut acknowledged, refused) = allocate_until_refused(&mut client);
    check_refusal(&refused);
    check_all_there(&mut client, &acknowledged);
    until("unreadiness", SOON, || server.stranger().get("/ready").status == 503);
    assert_eq!(server.stranger().get("/live").status, 200);

    fs::remove_file(disk.file("ballast")).unwrap();
    until("an allocation", SOON, || {
        let answer = client.post("", &order(100_000));
        let granted = answer.status == 200;
        if granted {
            acknowledged.push(answer.data()["greenvn_id"].as_str().unwrap().to_owned());
        }
        granted
    });
    until("readiness", SOON, || server.stranger().get("/ready").status == 200);
    check_all_there(&mut client, &acknowledged);

    assert!(server.stop().success());
    let server = world.serve();
    check_all_there(&mut tenant.client(&server), &acknowledged);
    check_verified(&world);
}

/// Takes all the room there is but a little.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    while file.write_all(&[1; 64 << 10]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(256 << 10)).unwrap();
}

#[test]
fn a_disk_that_turns_read_only_under_a_server_loses_nothing_that_was_answered() {
    let images = TempDir::new().unwrap();
    let image = images.path().join("image");
    let disk = Disk::in_file(&image);
    let world = disk.world();
    let tenant = world.tenant("acme", 50);
    let mut server = world.serve();
    let mut client = tenant.client(&server);
    let mut ids = Vec::new();
    for n in 1..=200 {
        ids.push(client.post("", &order(n)).data()["greenvn_id"].as_str().unwrap().to_owned());
    }

    // As the kernel does when the device fails: from here on nothing reaches the disk, not even what it has buffered.
    run("mount", &["-o", "remount,abort", disk.path()]);
    check_refusal(&client.post("", &order(201)));
    until("unreadiness", SOON, || server.stranger().get("/ready").status == 503);
    server.signal(Signal::TERM);
    server.ended();
    drop(server);

    run("umount", &[disk.path()]);
    mend(&image);
    disk.mount(&image);
    let server = world.serve();
    let mut client = tenant.client(&server);
    check_all_there(&mut client, &ids);
    client.post("", &order(202)).data();
    check_verified(&world);
    assert!(server.stop().success());
}

/// Replays the journal, as a boot after the failure does; 1 says that there was something to mend.
fn mend(image: &Path) {
    let checked = Command::new("e2fsck").args(["-p", image.to_str().unwrap()]).output().unwrap();
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
}

#[test]
fn a_server_on_a_read_only_disk_does_not_start_and_says_why() {
    let disk = Disk::in_memory();
    let world = disk.world();
    let tenant = world.tenant("acme", 5);
    let server = world.serve();
    let id = tenant.client(&server).post("", &order(1)).data()["greenvn_id"].as_str().unwrap().to_owned();
    assert!(server.stop().success());

    run("mount", &["-o", "remount,ro", disk.path()]);
    let refused = world.serve_with(&[]).err().expect("a server on a read-only disk is refused");
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr.contains("callveil.db") && refused.stderr.contains("ead-only"), "{refused:?}");
    let checked = world.run(&["check"]);
    assert_eq!(checked.code(), Some(1));
    assert!(checked.stdout.contains("failure  disk"), "{checked:?}");

    run("mount", &["-o", "remount,rw", disk.path()]);
    let server = world.serve();
    check_all_there(&mut tenant.client(&server), &[id]);
}
