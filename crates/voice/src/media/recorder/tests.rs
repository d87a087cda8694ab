use std::process::Command;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::timeout;

use super::*;

/// Nothing here takes this long but on a machine that does something else.
const BOUND: Duration = Duration::from_secs(30);

struct World {
    directory: tempfile::TempDir,
    recorder: Recorder,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    rng: StdRng,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(directory.path().join("kept")).unwrap();
    let (sender, events) = mpsc::channel(8);
    World { directory, recorder, sender, events, rng: StdRng::seed_from_u64(5) }
}

impl World {
    fn reel(&mut self) -> Reel {
        self.recorder.reel(&mut self.rng, self.sender.clone())
    }

    fn file(&self, reel: &Reel) -> Vec<u8> {
        fs::read(self.recorder.path(&reel.recording)).unwrap()
    }
}

#[tokio::test]
async fn a_file_is_whole_when_it_has_ended() {
    let mut world = world();
    let mut reel = world.reel();
    reel.begin(Law::A);
    reel.append(vec![1; 16_000]);
    reel.append(vec![2; 1_600]);

    timeout(BOUND, reel.end()).await.unwrap().unwrap();

    let file = world.file(&reel);
    assert_eq!(file[..wav::HEADER], wav::header(Law::A, 2, 8_800));
    assert_eq!(file[wav::HEADER..], [vec![1; 16_000], vec![2; 1_600]].concat());
    assert_eq!(reel.ms(), 1_100);
}

#[tokio::test]
async fn a_file_can_be_played_at_any_moment_of_its_writing() {
    let mut world = world();
    let mut reel = world.reel();
    reel.begin(Law::Mu);
    reel.append(vec![1; 1_600]);
    // Orders are done one after the other: when another reel has ended, this one has been written.
    timeout(BOUND, world.reel().end()).await.unwrap().unwrap();

    let file = world.file(&reel);

    assert_eq!(file[..wav::HEADER], wav::header(Law::Mu, 2, 800));
    assert_eq!(file.len(), wav::HEADER + 1_600);
}

#[tokio::test]
async fn recordings_are_for_the_owners_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = world();
    let reel = world.reel();
    reel.begin(Law::Mu);
    timeout(BOUND, reel.end()).await.unwrap().unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(&world.directory.path().join("kept")), 0o700);
    assert_eq!(mode(&world.recorder.path(&reel.recording)), 0o600);
}

#[tokio::test]
async fn names_are_random_and_known_as_ours() {
    let mut world = world();
    let (one, other) = (world.reel(), world.reel());

    assert_ne!(one.recording, other.recording);
    assert!(is_name(&one.recording.name));
    for name in ["", "a.wav", "../../etc/passwd", "0123456789ABCDEF0123456789abcdef.wav"] {
        assert!(!is_name(name), "{name}");
    }
}

#[tokio::test]
async fn a_disk_that_is_full_ends_the_recording_and_is_told_once() {
    let mut world = world();
    let mut reel = world.reel();
    // Every write to this device fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", world.recorder.path(&reel.recording)).unwrap();
    let full = OpenOptions::new().write(true).open(world.recorder.path(&reel.recording)).unwrap();
    let failed = Failure { failed: reel.failed.clone(), events: world.sender.clone() };
    let mut desk = Desk { directory: world.directory.path().to_owned(), files: BTreeMap::new() };
    let name = reel.recording.name.clone();
    desk.files.insert(name.clone(), Open { file: full, law: Law::Mu, frames: 0, failure: failed });

    desk.append(&name, &[1; 160]);
    desk.append(&name, &[1; 160]);
    reel.append(vec![1; 160]);

    assert_eq!(timeout(BOUND, world.events.recv()).await.unwrap(), Some(Event::RecordingFailed));
    assert!(world.events.try_recv().is_err());
    assert_eq!(reel.ms(), 0);
}

#[tokio::test]
async fn a_directory_that_went_away_ends_the_recording() {
    let mut world = world();
    fs::remove_dir_all(world.directory.path().join("kept")).unwrap();

    world.reel().begin(Law::Mu);

    assert_eq!(timeout(BOUND, world.events.recv()).await.unwrap(), Some(Event::RecordingFailed));
}

#[test]
fn old_recordings_are_removed_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let name = |digit: char| directory.path().join(format!("{}.wav", digit.to_string().repeat(32)));
    for path in [name('a'), name('b'), directory.path().join("notes.txt")] {
        fs::write(path, "").unwrap();
    }
    let touched = Command::new("touch").arg("-d").arg("2020-01-01").arg(name('a')).status().unwrap();
    assert!(touched.success());
    let before = fs::metadata(name('a')).unwrap().modified().unwrap() + Duration::from_secs(1);

    assert_eq!(expire(directory.path(), before).unwrap(), 1);
    assert_eq!((name('a').exists(), name('b').exists()), (false, true));
    assert!(directory.path().join("notes.txt").exists());
}
