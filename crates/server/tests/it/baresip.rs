//! A telephone that others have built: baresip, without a screen, which plays one file and keeps what it hears.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::sipp::free_port;
use crate::sound;
use crate::world::{SOON, until};

/// Where Debian keeps baresip's modules.
const MODULES: [&str; 2] = ["/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules"];

/// What baresip is to be.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// Its address.
    pub at: IpAddr,
    /// Its number.
    pub number: &'a str,
    /// `udp`, `tcp` or `tls`: what it calls by.
    pub transport: &'a str,
    /// Its certificate with the key, and the authorities that it trusts: with them it also speaks SRTP, and nothing else.
    pub certificates: Option<(&'a Path, &'a Path)>,
    /// What it plays, until it ends.
    pub plays: &'a [i16],
}

/// A telephone that waits for calls or has called. It is gone when this is dropped.
pub struct Baresip {
    child: Child,
    directory: TempDir,
    sip: SocketAddr,
    secure: bool,
}

impl Baresip {
    /// A telephone that answers whatever comes.
    pub fn answers(setup: &Setup<'_>) -> Baresip {
        let baresip = Baresip::start(setup, &[]);
        let at = baresip.sip;
        until("baresip listens", SOON, || UdpSocket::bind(at).is_err() && TcpListener::bind(at).is_err());
        baresip
    }

    /// A telephone that calls, and hangs up when it has played its sound.
    pub fn calls(setup: &Setup<'_>, to: &str, server: SocketAddr) -> Baresip {
        let dial = format!("/dial sip:{to}@{server}");
        Baresip::start(setup, &["-e", &dial])
    }

    fn start(setup: &Setup<'_>, arguments: &[&str]) -> Baresip {
        let directory = TempDir::new().unwrap();
        let sip = SocketAddr::new(setup.at, free_port(setup.at));
        let file = |name: &str| directory.path().join(name);
        sound::write(&file("plays.wav"), setup.plays);
        fs::write(file("config"), configuration(setup, directory.path(), sip)).unwrap();
        let Setup { number, transport, .. } = setup;
        let encrypted = if setup.certificates.is_some() { ";mediaenc=srtp-mand" } else { "" };
        let account =
            format!("<sip:{number}@{sip};transport={transport}>;regint=0;answermode=auto{encrypted}\n");
        fs::write(file("accounts"), account).unwrap();
        for name in ["contacts", "current_contact"] {
            fs::write(file(name), "").unwrap();
        }
        let log = fs::File::create(file("log")).unwrap();
        let child = Command::new("baresip")
            .arg("-v")
            .arg("-s")
            .arg("-f")
            .arg(directory.path())
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("baresip is installed (scripts/setup-tests)");
        Baresip { child, directory, sip, secure: setup.certificates.is_some() }
    }

    /// Where calls reach it: its TLS is at the port after the other one.
    pub fn address(&self) -> SocketAddr {
        let port = if self.secure { self.sip.port() + 1 } else { self.sip.port() };
        SocketAddr::new(self.sip.ip(), port)
    }

    /// What it has said, and every message of SIP.
    pub fn log(&self) -> String {
        fs::read(self.directory.path().join("log"))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// What it has heard so far.
    pub fn heard(&self) -> Vec<i16> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        let mut paths = files.map(|file| file.unwrap().path());
        let decoded = |path: &PathBuf| path.to_string_lossy().ends_with("-dec.wav");
        paths.find(decoded).map(|path| sound::read(&path)).unwrap_or_default()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(setup: &Setup<'_>, directory: &Path, sip: SocketAddr) -> String {
    let modules = MODULES.iter().find(|place| Path::new(place).is_dir());
    let modules = modules.expect("baresip's modules are installed (scripts/setup-tests)");
    let directory = directory.display();
    let mut text = format!(
        "sip_listen {sip}\nnet_interface {}\nmodule_path {modules}\n\
         audio_source aufile,{directory}/plays.wav\nausrc_srate 8000\nausrc_channels 1\n\
         auplay_srate 8000\nauplay_channels 1\nsnd_path {directory}\n\
         call_max_calls 4\nrtp_stats no\n\
         module g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule srtp.so\n\
         module_tmp account.so\nmodule_app menu.so\n",
        setup.at
    );
    if let Some((certificate, authorities)) = setup.certificates {
        let (certificate, authorities) = (certificate.display(), authorities.display());
        write!(text, "sip_certificate {certificate}\nsip_cafile {authorities}\n").unwrap();
    }
    text
}
