//! The targets of the fuzzer, run over their seeds: with that they build, and hold for what they begin with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 5] = [
    ("dtmf", targets::dtmf),
    ("rtp", targets::rtp),
    ("sdp", targets::sdp),
    ("sip", targets::sip),
    ("webhook_url", |bytes| targets::webhook_url(&String::from_utf8_lossy(bytes))),
];

fn fuzz(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(place)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_target_holds_for_its_seeds_and_for_what_is_left_when_they_are_cut_off() {
    for (name, target) in TARGETS {
        let seeds = files(&fuzz("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has seeds");
        for seed in seeds {
            let whole = fs::read(&seed).unwrap();
            for end in 0..=whole.len() {
                target(&whole[..end]);
            }
        }
    }
}

#[test]
fn every_target_of_the_fuzzer_is_run_here() {
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let there: BTreeSet<String> = files(&fuzz("fuzz_targets")).iter().map(name).collect();
    let here: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(here, there);
}
