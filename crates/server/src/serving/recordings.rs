//! Recordings of a server: who writes them, who may hear them, and when they are thrown away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callveil_api::Recordings;
use callveil_domain::node::Node;
use callveil_domain::recording::{Links, SECRET};
use callveil_voice::media::recorder::{Recorder, expire};
use rand::Rng;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::clock::generator;
use crate::config::Config;
use crate::error::CommandError;

/// The file with the secret that signs links, among the recordings.
const KEY: &str = "links.key";

/// How often old recordings are looked for.
const TIDYING: Duration = Duration::from_secs(600);

/// What keeps recordings, if the configuration names a place for them.
pub struct Kept {
    pub recorder: Recorder,
    pub recordings: Recordings,
}

impl Kept {
    /// Makes the place ready, where calls are taken.
    pub fn open(config: &Config) -> Result<Option<Kept>, CommandError> {
        let takes_calls = !config.sip.listen.values().is_empty();
        let Some(directory) = config.media.recordings.path().filter(|_| takes_calls) else { return Ok(None) };
        let failed = |why: io::Error| {
            CommandError::new(format!("keeping recordings in {}", directory.display()), why)
                .fix("let this user write there, or name another place with CALLVEIL_MEDIA_RECORDINGS (none records nothing)")
        };
        let recorder = Recorder::new(directory.to_owned()).map_err(failed)?;
        let secret = secret(&directory.join(KEY)).map_err(failed)?;
        let links = Links::new(config.media.recording_url.to_string(), secret, config.media.recording_link);
        Ok(Some(Kept { recorder, recordings: Recordings { directory: directory.to_owned(), links } }))
    }
}

/// The secret that links are signed with; drawn when there is none yet. Whoever takes the file away ends all links.
fn secret(path: &Path) -> io::Result<[u8; SECRET]> {
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| io::Error::other(format!("{} is damaged", path.display()))),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let mut secret = [0; SECRET];
            generator().fill_bytes(&mut secret);
            let fresh = path.with_extension("new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&secret)?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            Ok(secret)
        }
        Err(why) => Err(why),
    }
}

/// Throws away the recordings whose time is over.
pub async fn tidy(node: Arc<Node>, recordings: Recordings, retention: Duration) {
    let mut looks = interval(TIDYING);
    loop {
        looks.tick().await;
        let before = moment(&node).checked_sub(retention).unwrap_or(UNIX_EPOCH);
        let directory = recordings.directory.clone();
        match spawn_blocking(move || expire(&directory, before)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(count, "{count} old recordings are thrown away"),
            Ok(Err(why)) => tracing::warn!("throwing away old recordings: {why}"),
            Err(_) => return,
        }
    }
}

fn moment(node: &Node) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(node.now().as_millis())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_secret_is_drawn_once_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY);

        let first = secret(&path).unwrap();

        assert_eq!(secret(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(first, [0; SECRET]);
    }

    #[test]
    fn a_damaged_secret_is_told_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(KEY);
        fs::write(&path, "short").unwrap();

        assert!(secret(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
