//! Keeps recordings as files: one thread writes for all calls, so that a slow disk slows no call.
//!
//! A file's header tells its length after every write, and what stands before the end of the file is never written
//! again: a recording whose writer was killed can be played up to its last second.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use callveil_domain::Chance;

use super::codec::Law;
use super::{Event, Recording, wav};

/// Orders that may wait, a second of sound each. When the disk is further behind, recordings end rather than memory.
const WAITING: usize = 4096;
/// The sides of a recording.
const CHANNELS: u16 = 2;

/// Keeps recordings.
#[derive(Clone, Debug)]
pub struct Recorder {
    directory: PathBuf,
    orders: SyncSender<Order>,
}

/// One recording that is being written. Dropping it closes its file.
#[derive(Debug)]
pub struct Reel {
    /// Its name.
    pub recording: Recording,
    orders: SyncSender<Order>,
    failed: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
    frames: u64,
}

#[derive(Debug)]
enum Order {
    Begin { name: String, law: Law, failure: Failure },
    Append { name: String, frames: Vec<u8> },
    End { name: String, done: Option<oneshot::Sender<()>> },
}

/// How a recording is told that it ends early.
#[derive(Clone, Debug)]
struct Failure {
    failed: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
}

impl Recorder {
    /// A recorder that keeps its files in this directory, which is made when it is missing and is ours alone.
    pub fn new(directory: PathBuf) -> io::Result<Recorder> {
        if !directory.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        }
        let (orders, receiver) = sync_channel(WAITING);
        let mut desk = Desk { directory: directory.clone(), files: BTreeMap::new() };
        thread::Builder::new().name("recordings".to_owned()).spawn(move || desk.work(&receiver))?;
        Ok(Recorder { directory, orders })
    }

    /// A recording under a random name, which says nothing of the call.
    pub fn reel(&self, rng: &mut Chance, events: mpsc::Sender<Event>) -> Reel {
        let name = format!("{:016x}{:016x}.wav", rng.next_u64(), rng.next_u64());
        Reel {
            recording: Recording { name },
            orders: self.orders.clone(),
            failed: Arc::new(AtomicBool::new(false)),
            events,
            frames: 0,
        }
    }

    /// Where a recording is kept.
    pub fn path(&self, recording: &Recording) -> PathBuf {
        self.directory.join(&recording.name)
    }
}

impl Reel {
    /// Begins the file.
    pub fn begin(&self, law: Law) {
        let name = self.recording.name.clone();
        self.order(Order::Begin { name, law, failure: self.failure() });
    }

    /// Appends frames.
    pub fn append(&mut self, frames: Vec<u8>) {
        if self.failed.load(Ordering::Relaxed) || frames.is_empty() {
            return;
        }
        self.frames += frames.len() as u64 / u64::from(CHANNELS);
        self.order(Order::Append { name: self.recording.name.clone(), frames });
    }

    /// The length of what was given to the disk.
    pub fn ms(&self) -> u64 {
        self.frames * 1000 / super::tone::RATE as u64
    }

    /// Ends the file. What is returned is answered when the file is whole on the disk.
    pub fn end(&self) -> oneshot::Receiver<()> {
        let (done, whole) = oneshot::channel();
        self.order(Order::End { name: self.recording.name.clone(), done: Some(done) });
        whole
    }

    fn failure(&self) -> Failure {
        Failure { failed: self.failed.clone(), events: self.events.clone() }
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.failure().tell("the disk is too slow");
        }
    }
}

/// A recording that nobody ends any more is ended.
impl Drop for Reel {
    fn drop(&mut self) {
        let _ = self.orders.try_send(Order::End { name: self.recording.name.clone(), done: None });
    }
}

impl Failure {
    fn tell(&self, why: impl fmt::Display) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            warn!("a recording ends before its call: {why}");
            let _ = self.events.try_send(Event::RecordingFailed);
        }
    }
}

/// The writing thread's side.
struct Desk {
    directory: PathBuf,
    files: BTreeMap<String, Open>,
}

struct Open {
    file: File,
    law: Law,
    frames: u32,
    failure: Failure,
}

impl Desk {
    /// Writes until nobody can order any more.
    fn work(&mut self, orders: &Receiver<Order>) {
        for order in orders {
            match order {
                Order::Begin { name, law, failure } => self.begin(name, law, failure),
                Order::Append { name, frames } => self.append(&name, &frames),
                Order::End { name, done } => self.end(&name, done),
            }
        }
    }

    fn begin(&mut self, name: String, law: Law, failure: Failure) {
        let path = self.directory.join(&name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written = file.and_then(|file| {
            file.write_all_at(&wav::header(law, CHANNELS, 0), 0)?;
            Ok(file)
        });
        match written {
            Ok(file) => {
                self.files.insert(name, Open { file, law, frames: 0, failure });
            }
            Err(why) => failure.tell(why),
        }
    }

    fn append(&mut self, name: &str, frames: &[u8]) {
        let Some(open) = self.files.get_mut(name) else { return };
        if let Err(why) = open.append(frames) {
            open.failure.tell(why);
            self.files.remove(name);
        }
    }

    fn end(&mut self, name: &str, done: Option<oneshot::Sender<()>>) {
        if let Some(open) = self.files.remove(name)
            && let Err(why) = open.file.sync_data()
        {
            open.failure.tell(why);
        }
        // Nobody may wait any more.
        let _ = done.map(|done| done.send(()));
    }
}

impl Open {
    /// First the frames, then the header that tells of them: what the header says is there is there.
    fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        let at = wav::HEADER as u64 + u64::from(self.frames) * u64::from(CHANNELS);
        self.file.write_all_at(frames, at)?;
        self.frames = self.frames.saturating_add(frames.len() as u32 / u32::from(CHANNELS));
        self.file.write_all_at(&wav::header(self.law, CHANNELS, self.frames), 0)
    }
}

/// Removes the recordings that were last written before `before`. Returns how many.
pub fn expire(directory: &Path, before: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(is_name);
        if ours && entry.metadata()?.modified()? < before {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a file's name is one that we give to recordings.
pub fn is_name(name: &str) -> bool {
    let digits = name.strip_suffix(".wav").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
