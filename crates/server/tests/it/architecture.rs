//! Which crate may depend on which: the table of ARCHITECTURE.md, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

const DOMAIN: &str = "callveil-domain";
const STORE: &str = "callveil-store";
const API: &str = "callveil-api";
const VOICE: &str = "callveil-voice";
const WEBHOOKS: &str = "callveil-webhooks";
const SERVER: &str = "callveil-server";

/// What each crate of ours names in its manifest, by kind.
struct Dependencies(BTreeMap<(String, bool), BTreeSet<String>>);

impl Dependencies {
    fn read() -> Dependencies {
        let metadata = MetadataCommand::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .no_deps()
            .other_options(vec!["--offline".to_owned(), "--locked".to_owned()])
            .exec()
            .unwrap();
        let mut named: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
        for package in metadata.workspace_packages() {
            for dependency in &package.dependencies {
                let for_tests = dependency.kind == DependencyKind::Development;
                let names = named.entry((package.name.to_string(), for_tests)).or_default();
                names.insert(dependency.name.clone());
            }
        }
        Dependencies(named)
    }

    /// What a crate is built from; its tests are left out.
    fn of(&self, name: &str) -> BTreeSet<&str> {
        self.0.get(&(name.to_owned(), false)).into_iter().flatten().map(String::as_str).collect()
    }

    fn ours(&self, name: &str) -> BTreeSet<&str> {
        self.of(name).into_iter().filter(|other| other.starts_with("callveil-")).collect()
    }

    #[track_caller]
    fn check_absent(&self, name: &str, foreign: &[&str]) {
        let met: Vec<&str> = self.of(name).into_iter().filter(|other| foreign.contains(other)).collect();
        assert!(met.is_empty(), "{name} may not know {met:?}");
    }
}

const HTTP: [&str; 6] = ["axum", "hyper", "hyper-util", "tower", "tower-http", "utoipa"];
const SQL: [&str; 2] = ["rusqlite", "tokio-postgres"];
const JSON: [&str; 2] = ["serde", "serde_json"];
const SIP: [&str; 1] = ["rsipstack"];
const RUNTIME: [&str; 1] = ["tokio"];

#[test]
fn the_domain_touches_nothing() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(DOMAIN), BTreeSet::new());
    // A short list, so that each addition is thought about.
    let known = ["async-trait", "hmac", "ipnet", "rand_core", "sha2", "thiserror", "uuid"];
    assert_eq!(dependencies.of(DOMAIN), BTreeSet::from(known));
    for foreign in [&HTTP[..], &SQL, &JSON, &RUNTIME] {
        dependencies.check_absent(DOMAIN, foreign);
    }
}

#[test]
fn the_store_knows_no_http() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(STORE), BTreeSet::from([DOMAIN]));
    dependencies.check_absent(STORE, &HTTP);
    dependencies.check_absent(STORE, &SIP);
}

#[test]
fn the_api_knows_no_sql() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(API), BTreeSet::from([DOMAIN]));
    dependencies.check_absent(API, &SQL);
    dependencies.check_absent(API, &SIP);
}

#[test]
fn the_telephone_side_knows_no_sql_and_no_http() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(VOICE), BTreeSet::from([DOMAIN]));
    dependencies.check_absent(VOICE, &SQL);
    dependencies.check_absent(VOICE, &HTTP);
}

#[test]
fn the_webhooks_know_no_sql_no_sip_and_no_server_of_http() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(WEBHOOKS), BTreeSet::from([DOMAIN]));
    dependencies.check_absent(WEBHOOKS, &SQL);
    dependencies.check_absent(WEBHOOKS, &SIP);
    dependencies.check_absent(WEBHOOKS, &["axum", "tower-http", "utoipa"]);
}

#[test]
fn the_server_knows_them_all_and_no_sql() {
    let dependencies = Dependencies::read();
    assert_eq!(dependencies.ours(SERVER), BTreeSet::from([API, DOMAIN, STORE, VOICE, WEBHOOKS]));
    dependencies.check_absent(SERVER, &SQL);
    dependencies.check_absent(SERVER, &SIP);
}

#[test]
fn nothing_of_ours_depends_on_the_server() {
    let dependencies = Dependencies::read();
    for (name, for_tests) in dependencies.0.keys() {
        let names = &dependencies.0[&(name.clone(), *for_tests)];
        assert!(name == "callveil-bench" || !names.contains(SERVER), "{name} depends on {SERVER}");
    }
}
