//! Announcements: a tenant's own recordings first, then the operator's, then those that are shipped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::{tone, wav};

/// Where announcements come from.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    /// A directory with files that go before the shipped ones: `TENANT/LANGUAGE/NAME.wav` or `LANGUAGE/NAME.wav`.
    /// They are read when they are played, so that a new one is heard at once.
    pub directory: Option<PathBuf>,
}

/// The language whose announcements stand in for those that are missing.
const STAND_IN: &str = "en";

macro_rules! shipped {
    ($($language:literal: $($name:literal)*;)*) => {
        /// Language, name and file of every announcement that is shipped.
        const SHIPPED: &[(&str, &str, &[u8])] = &[
            $($(($language, $name, include_bytes!(concat!("../../prompts/", $language, "/", $name, ".wav"))),)*)*
        ];
    };
}

shipped! {
    "en": "enter-pin" "wrong-pin" "not-available" "unknown-number" "ended" "one-way" "try-later" "recorded";
    "hi": "enter-pin" "wrong-pin" "not-available" "unknown-number" "ended" "one-way" "try-later" "recorded";
}

impl Prompts {
    /// The sound of an announcement, as mu-law. One that there is in no language is three tones.
    pub async fn find(&self, name: &str, language: &str, tenant: &str) -> Arc<[u8]> {
        for directory in [vec![tenant, language], vec![language]] {
            if let Some(sound) = self.read(&directory, name).await {
                return sound.into();
            }
        }
        shipped(name, language).or_else(|| shipped(name, STAND_IN)).unwrap_or_else(tone::missing)
    }

    async fn read(&self, directories: &[&str], name: &str) -> Option<Vec<u8>> {
        let mut path = self.directory.clone()?;
        // Languages and tenants come from settings: a path must not.
        if !directories.iter().chain([&name]).all(|part| is_plain(part)) {
            return None;
        }
        path.extend(directories);
        path.push(format!("{name}.wav"));
        let bytes = tokio::fs::read(&path).await.ok()?;
        wav::read(&bytes).map_err(|why| tell(&path, why)).ok()
    }
}

fn tell(path: &Path, why: wav::Unplayable) {
    warn!(path = %path.display(), "an announcement cannot be played: {why}");
}

fn shipped(name: &str, language: &str) -> Option<Arc<[u8]>> {
    let found = SHIPPED.iter().find(|(of, is, _)| *of == language && *is == name);
    found.map(|(.., file)| wav::read(file).expect("law: what is shipped can be played").into())
}

fn is_plain(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Law;

    async fn find(prompts: &Prompts, name: &str, language: &str, tenant: &str) -> Arc<[u8]> {
        prompts.find(name, language, tenant).await
    }

    #[tokio::test]
    async fn everything_that_is_shipped_can_be_played_and_is_no_longer_than_five_seconds() {
        for (language, name, _) in SHIPPED {
            let sound = find(&Prompts::default(), name, language, "acme").await;
            assert!((8_000..40_000).contains(&sound.len()), "{language}/{name} has {}", sound.len());
        }
    }

    #[tokio::test]
    async fn a_language_that_is_missing_is_english_and_a_name_that_is_missing_is_tones() {
        let prompts = Prompts::default();

        assert_eq!(find(&prompts, "ended", "fr", "acme").await, find(&prompts, "ended", "en", "acme").await);
        assert_ne!(find(&prompts, "ended", "hi", "acme").await, find(&prompts, "ended", "en", "acme").await);
        assert_eq!(find(&prompts, "weather", "en", "acme").await, tone::missing());
    }

    #[tokio::test]
    async fn a_tenants_own_goes_before_the_operators_and_that_before_the_shipped() {
        let directory = tempfile::tempdir().unwrap();
        let put = |path: &str, byte: u8| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, [&wav::header(Law::Mu, 1, 3)[..], &[byte; 3]].concat()).unwrap();
        };
        put("acme/en/ended.wav", 1);
        put("en/ended.wav", 2);
        let prompts = Prompts { directory: Some(directory.path().to_owned()) };

        assert_eq!(*find(&prompts, "ended", "en", "acme").await, [1; 3]);
        assert_eq!(*find(&prompts, "ended", "en", "other").await, [2; 3]);
        assert!(find(&prompts, "one-way", "en", "acme").await.len() > 8_000);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_played_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("en")).unwrap();
        std::fs::write(directory.path().join("en/ended.wav"), "no sound").unwrap();
        let prompts = Prompts { directory: Some(directory.path().to_owned()) };

        assert_eq!(find(&prompts, "ended", "en", "acme").await, shipped("ended", "en").unwrap());
    }

    #[tokio::test]
    async fn a_setting_leads_out_of_no_directory() {
        let outside = tempfile::tempdir().unwrap();
        let inside = outside.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(outside.path().join("ended.wav"), [&wav::header(Law::Mu, 1, 1)[..], &[1]].concat())
            .unwrap();
        let prompts = Prompts { directory: Some(inside) };

        assert_eq!(find(&prompts, "ended", "..", "acme").await, shipped("ended", "en").unwrap());
    }
}
