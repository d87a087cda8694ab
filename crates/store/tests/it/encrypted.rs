//! Connections to a PostgreSQL that are encrypted, and to none that is somebody else.

use std::fs;
use std::path::Path;
use std::process::Command;

use callveil_store::postgres::{OpenError, PostgresStore, migrate};

use crate::cluster::{Cluster, Durability, give_to_postgres, succeed};
use crate::world::furnish;

/// Makes an authority in a directory.
fn authority(directory: &Path, name: &str) {
    let subject = format!("/CN=authority {name}");
    openssl(directory, &["req", "-x509", "-subj", &subject, "-keyout", &key(name), "-out", &pem(name)]);
}

/// Makes a certificate for an address, and its key.
fn certificate(directory: &Path, name: &str, authority: &str, address: &str) {
    let named = format!("subjectAltName={address}");
    let by = ["req", "-x509", "-CA", &pem(authority), "-CAkey", &key(authority), "-subj", "/CN=database"];
    let whose = ["-addext", &named, "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(directory, &[&by[..], &whose, &["-keyout", &key(name), "-out", &pem(name)]].concat());
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let mut openssl = Command::new("openssl");
    succeed(openssl.current_dir(directory).args([arguments, &new].concat()));
}

fn key(name: &str) -> String {
    format!("{name}.key")
}

fn pem(name: &str) -> String {
    format!("{name}.pem")
}

/// A cluster that takes connections by TLS alone.
fn by_tls_alone(directory: &Path, certificates: &Path) -> Cluster {
    let cluster = Cluster::make(directory, Durability::None);
    for file in [key("database"), pem("database")] {
        let there = directory.join(&file);
        // PostgreSQL takes a key that is its own user's, or root's.
        fs::copy(certificates.join(&file), &there).unwrap();
        give_to_postgres(&there);
    }
    let at = directory.display();
    cluster.configure(&format!(
        "ssl = on\nssl_cert_file = '{at}/database.pem'\nssl_key_file = '{at}/database.key'\n"
    ));
    cluster.create_database("callveil", None);
    let only = "hostssl all all 127.0.0.1/32 trust\nhostnossl all all 127.0.0.1/32 reject\n";
    fs::write(directory.join("data/pg_hba.conf"), only).unwrap();
    cluster
}

async fn refused(url: &str) -> String {
    let refused: OpenError = match PostgresStore::open(&url.parse().unwrap(), rand::random()).await {
        Ok(_) => panic!("{url} is opened"),
        Err(error) => error,
    };
    refused.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reached_by_tls_when_it_is_who_it_says() {
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    authority(files.path(), "ours");
    authority(files.path(), "other");
    certificate(files.path(), "database", "ours", "IP:127.0.0.1");
    let mut cluster = by_tls_alone(&at("cluster"), files.path());
    cluster.crash();
    cluster.start();
    let url = |mode: &str| format!("{}?sslmode={mode}", cluster.url("callveil"));
    let trusting = |mode: &str, name: &str| format!("{}&sslrootcert={}", url(mode), at(&pem(name)).display());

    // Who it is does not matter: what is said is hidden from others.
    migrate(&url("require").parse().unwrap()).await.unwrap();
    // Its certificate is of an authority that is trusted, and names it.
    let certain = trusting("verify-full", "ours");
    let store = PostgresStore::open(&certain.parse().unwrap(), rand::random()).await.unwrap();
    furnish(&store, 1).await;

    let stranger = refused(&trusting("verify-full", "other")).await;
    assert!(stranger.contains("invalid peer certificate: UnknownIssuer"), "{stranger}");
    // No authority of the system's made it.
    let unknown = refused(&url("verify-full")).await;
    assert!(unknown.contains("invalid peer certificate: UnknownIssuer"), "{unknown}");
    let elsewhere = refused(&certain.replace("127.0.0.1", "localhost")).await;
    assert!(elsewhere.contains("invalid peer certificate: certificate not valid for name"), "{elsewhere}");
    let open = refused(&url("disable")).await;
    assert!(open.contains("no encryption"), "{open}");
}
