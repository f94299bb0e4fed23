//! The programs that judge: a registry with or without a password, skopeo, and a bad network.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

pub const AMD64: u8 = 62;
pub const ARM64: u8 = 183;

/// The smallest static program, which ends with status 0 on x86-64, and `more` behind it.
pub fn program(machine: u8, more: &[u8]) -> Vec<u8> {
    let code = [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]; // exit(0)
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, machine, 0, 1, 0, 0, 0]);
    elf.extend(0x40_0078u64.to_le_bytes()); // entry, behind the headers
    elf.extend(64u64.to_le_bytes()); // program headers
    elf.extend([0; 12]);
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load, read and execute
    let size = 64 + 56 + code.len() as u64;
    for word in [0, 0x40_0000, 0x40_0000, size, size, 0x1000] {
        elf.extend(u64::to_le_bytes(word));
    }
    elf.extend(code);
    elf.extend(more);
    elf
}

/// A program with a list of what it is made of.
pub fn listed_program(machine: u8) -> Vec<u8> {
    let list = "rust\t1.95.0\nserde\t1.0.229\tMIT OR Apache-2.0\thttps://github.com/serde-rs/serde\n\
                xetl-runtime\t7.8.9\tMIT\t\n";
    xetl_runtime::components::embedded_in(&program(machine, &[]), list)
}

/// Bytes that no compression makes fewer, the same each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

pub fn are_there(programs: &[&str]) -> bool {
    programs.iter().all(|program| is_there(program))
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !ci, "{program} is not installed");
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// Debian's docker-registry on a free port.
pub struct Registry {
    server: Child,
    pub host: String,
    pub blobs: PathBuf,
}

/// `me` with the password `secret`.
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    pub fn start(folder: &Path) -> Registry {
        Registry::with(folder, "")
    }

    /// One that wants a user and a password.
    pub fn closed(folder: &Path) -> Registry {
        let path = folder.join("htpasswd");
        std::fs::write(&path, HTPASSWD).unwrap();
        let path = path.display();
        Registry::with(
            folder,
            &format!("auth: {{htpasswd: {{realm: r, path: '{path}'}}}}\n"),
        )
    }

    fn with(folder: &Path, more: &str) -> Registry {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = folder.join(format!("config-{port}.yml"));
        let root = folder.join(format!("registry-{port}"));
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{host}'}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n{more}",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let server = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(&host).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Registry {
            server,
            host,
            blobs: root.join("docker/registry/v2/blobs/sha256"),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A network that cuts a connection once it has carried so many bytes, the first few times.
pub struct BadNetwork {
    pub host: String,
    pub cuts: Arc<AtomicUsize>,
}

impl BadNetwork {
    pub fn before(host: &str, after: usize, times: usize) -> BadNetwork {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = BadNetwork {
            host: listener.local_addr().unwrap().to_string(),
            cuts: Arc::default(),
        };
        let (cuts, target) = (network.cuts.clone(), host.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&target).unwrap();
                let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut &back, &mut &forth));
                let cuts = cuts.clone();
                std::thread::spawn(move || carry(client, server, after, &cuts, times));
            }
        });
        network
    }
}

fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    after: usize,
    cuts: &AtomicUsize,
    times: usize,
) {
    let (mut buffer, mut carried) = (vec![0; 1 << 16], 0);
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        if server.write_all(&buffer[..length]).is_err() {
            break;
        }
        carried += length;
        if carried > after && cuts.load(Ordering::SeqCst) < times {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

/// A workspace with this program as its runtime.
pub fn workspace(program: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("xetl-runtime"), program).unwrap();
    good(xetl(folder.path(), &["init"]));
    folder
}

pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xetl"));
    command
        .args(args)
        .current_dir(folder)
        .env("XETL_RUNTIME_BIN", folder.join("xetl-runtime"))
        .env("DOCKER_CONFIG", folder)
        .env("NO_PROXY", "127.0.0.1")
        .env("NO_COLOR", "1");
    command
}

pub fn xetl(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

/// The result of a command of `xetl image` as JSON.
pub fn image(folder: &Path, args: &[&str]) -> Value {
    let all: Vec<&str> = ["--format", "json", "image"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    serde_json::from_str(&good(xetl(folder, &all))).unwrap()
}

/// What a command says that fails.
pub fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn good(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn skopeo(args: &[&str]) -> String {
    good(Command::new("skopeo").args(args).output().unwrap())
}

/// What skopeo reads under a name.
pub fn raw(reference: &str) -> Value {
    let reference = format!("docker://{reference}");
    let text = skopeo(&["inspect", "--raw", "--tls-verify=false", &reference]);
    serde_json::from_str(&text).unwrap()
}
