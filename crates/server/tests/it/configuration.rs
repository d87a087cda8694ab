//! What the program does with configuration, and what it says when it does not understand it.

use crate::world::World;

#[test]
fn the_default_file_is_a_configuration_that_changes_nothing() {
    let world = World::new();
    let default = world.run(&["config", "default"]);
    assert!(default.status.success() && default.stdout.starts_with("# callveil's configuration"));
    world.write("callveil.toml", &default.stdout);

    let shown = world.json(&["config", "show"]);
    let from_file = world.json(&["--config", "callveil.toml", "config", "show"]);

    for (name, value) in shown.as_object().unwrap() {
        assert_eq!(from_file[name]["value"], value["value"], "{name}");
    }
    assert_eq!(shown["retention"]["origin"], "default");
    assert_eq!(from_file["retention"]["origin"], "file callveil.toml");
    assert_eq!(shown["http.listen"]["origin"], "environment");
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let world = World::new();
    world.write("callveil.toml", "database = \"sqlite:file.db\"\n[log]\nlevel = \"warn\"\n");

    let shown = world.json(&["--config", "callveil.toml", "--database", "sqlite:flag.db", "config", "show"]);

    assert_eq!(shown["database"]["value"], "sqlite:flag.db");
    assert_eq!(shown["database"]["origin"], "flag");
    assert_eq!(shown["log.level"]["value"], "warn");
}

/// The program must refuse this configuration, and say why where nobody can miss it.
#[track_caller]
fn check_refused(file: &str, expected: &[&str]) {
    let world = World::new();
    world.write("callveil.toml", file);
    for command in [&["config", "check"][..], &["serve"], &["tenant", "list"]] {
        let ran = world.run(&[&["--config", "callveil.toml"], command].concat());
        assert_eq!(ran.code(), Some(1), "{command:?}: {ran:?}");
        for part in expected {
            assert!(ran.stderr.contains(part), "{command:?} does not say {part:?}: {}", ran.stderr);
        }
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_place_and_the_way_out() {
    check_refused(
        "[http]\nlistn = \"127.0.0.1:1\"",
        &["callveil.toml", "line 2, column 1", "listn", "callveil config default"],
    );
    check_refused("retention = 180", &["line 1, column 13", "expected a string"]);
    check_refused("database = \"mysql:callveil\"", &["sqlite:callveil.db", "postgres://USER@HOST/NAME"]);
    check_refused("nonsense", &["line 1"]);
}

#[test]
fn a_variable_that_is_not_understood_is_refused_by_name() {
    let world = World::new();
    let ran = crate::world::finish(
        world
            .program()
            .args(["config", "check"])
            .env("CALLVEIL_DATABASE", "postgres://veil:secret@host:x/callveil"),
    );
    assert_eq!(ran.code(), Some(1));
    assert!(ran.stderr.contains("CALLVEIL_DATABASE: is no connection string of PostgreSQL's"), "{ran:?}");
    assert!(!ran.stderr.contains("secret"), "{ran:?}");
}

#[test]
fn a_variable_that_nothing_reads_is_told() {
    let world = World::new();
    let ran = crate::world::finish(world.program().args(["config", "check"]).env("CALLVEIL_HTTP_LISTN", "x"));
    assert!(
        ran.status.success() && ran.stdout.contains("nothing reads the variable CALLVEIL_HTTP_LISTN"),
        "{ran:?}"
    );
}

#[test]
fn a_command_that_is_not_understood_ends_with_two() {
    let world = World::new();
    for arguments in
        [&["tenant", "creat", "acme"][..], &["call", "simulate"], &["tenant", "create", "a b"], &[]]
    {
        let ran = world.run(arguments);
        assert_eq!(ran.code(), Some(2), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.run(&["completions", shell]);
        assert!(ran.status.success() && ran.stdout.contains("simulate"), "{shell}: {ran:?}");
    }
}

#[test]
fn complaints_are_json_when_answers_are() {
    let world = World::new();
    let ran = world.run(&["tenant", "list", "--json"]);
    assert_eq!((ran.code(), ran.stdout.as_str()), (Some(1), ""));
    let complaint: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(complaint["error"]["why"], "there is no such file");
    assert!(complaint["error"]["fix"].as_str().unwrap().contains("callveil tenant create"));
}
