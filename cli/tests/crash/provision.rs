//! The CLI killed at any of its writes, while it makes, changes and removes a client: run again it
//! comes to what it would have come to, with nothing left over and nothing twice.
//!
//! What there is is read from the cloud itself, not asked of the CLI.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value as Json, json};

use crate::cloud::{Cloud, PROJECT, built, ended};
use crate::proxy::{Death, Moment, Proxy, Writes};
use crate::{AT_ONCE, block};

const REGION: &str = "australia-southeast1";
const SOURCE: &str = include_str!("../world/things.yaml");
/// A client at first, then with another schedule, more tasks, another pipeline and without the first one's.
const FIRST: &str = "pipelines:
  one: {source: things, schedule: {cron: 0 2 * * *, time_zone: Europe/London}}
  two: {source: things}
";
const THEN: &str = "pipelines:
  one: {source: things, tasks: 3, schedule: {cron: 0 3 * * *, time_zone: Europe/London}}
  three: {source: things, schedule: {cron: 0 4 * * *, time_zone: Europe/London}}
";
pub const DESTROY: [&str; 4] = [
    "destroy",
    "--yes",
    "--delete-data",
    "bucket,dataset,secrets",
];

/// Someone's workspace for one client, on a cloud that others use too.
pub struct Desk<'c> {
    pub cloud: &'c Arc<Cloud>,
    folder: tempfile::TempDir,
    pub client: String,
}

/// How a command ended; no code for a killed one.
pub struct Done {
    pub code: Option<i32>,
    writes: usize,
    pub said: String,
}

impl<'c> Desk<'c> {
    /// `cache` has the packed image, which takes a while to make.
    pub fn new(cloud: &'c Arc<Cloud>, cache: &Path, client: String) -> Desk<'c> {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk {
            cloud,
            folder,
            client,
        };
        desk.write(
            "xetl.yaml",
            &format!("target: local\nproject: {PROJECT}\nregion: {REGION}\n"),
        );
        desk.write("sources/things.yaml", SOURCE);
        desk.write(".xetl/local/placeholder", "");
        std::os::unix::fs::symlink(cache, desk.path(".xetl/cache")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Gives its source more of a manifest.
    pub fn add_to_source(&self, more: &str) {
        self.write("sources/things.yaml", &format!("{SOURCE}{more}"));
    }

    pub fn declare(&self, pipelines: &str) {
        let text = format!("client: {}\n{pipelines}", self.client);
        self.write(&format!("clients/{}.yaml", self.client), &text);
    }

    /// Runs xetl to its end, or to its death.
    pub async fn xetl(&self, arguments: &[&str], death: Option<Death>) -> Done {
        let writes = Writes::until(death);
        let proxy = Proxy::start(self.cloud.url(), self.cloud.client(), writes.clone()).await;
        let endpoint = json!({"url": format!("http://{}", proxy.host), "pid": self.cloud.pid()});
        self.write(".xetl/local/endpoint.json", &endpoint.to_string());
        let said = self.path("said.txt");
        *proxy.process.lock().unwrap() = Some(self.start(arguments, &said));
        let code = ended(&proxy).await;
        Done {
            code,
            writes: writes.seen.load(std::sync::atomic::Ordering::SeqCst),
            said: std::fs::read_to_string(said).unwrap(),
        }
    }

    fn start(&self, arguments: &[&str], said: &Path) -> Child {
        let said = std::fs::File::create(said).unwrap();
        let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/xetl-runtime");
        Command::new(env!("CARGO_BIN_EXE_xetl"))
            .args(arguments)
            .args(["--client", &self.client])
            .current_dir(self.folder.path())
            .env("XETL_LOCAL_BIN", built("xetl-local"))
            .env("XETL_RUNTIME_BIN", runtime)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap()
    }

    /// Does it with a death at some write, then again without.
    async fn do_and_die(&self, arguments: &[&str], death: Death) {
        let died = self.xetl(arguments, Some(death)).await;
        if died.code.is_some() {
            // It needed fewer writes than the undisturbed one.
            assert_eq!(died.code, Some(0), "{arguments:?} {death:?}\n{}", died.said);
        }
        let again = self.xetl(arguments, None).await;
        assert_eq!(
            again.code,
            Some(0),
            "{arguments:?} after {death:?}\n{}",
            again.said
        );
    }

    async fn is_as_declared(&self) {
        let plan = self.xetl(&["plan", "--detailed-exitcode"], None).await;
        assert_eq!(plan.code, Some(0), "{}", plan.said);
    }

    /// All there is that bears the client's name, with that name left out.
    pub async fn inventory(&self) -> BTreeSet<String> {
        let bucket = format!("{PROJECT}-xetl-{}", self.client);
        let objects = format!("/storage/v1/b/{bucket}/o");
        let mut names = BTreeSet::new();
        for list in lists().into_iter().chain([objects]) {
            let answer = self.cloud.get(&list).await.unwrap_or_default();
            named(&answer, &mut |name| {
                names.insert(format!("{list}: {}", without_hash(name)));
            });
        }
        let policy = format!("/v3/projects/{PROJECT}:getIamPolicy");
        let policy = self
            .cloud
            .send(reqwest::Method::POST, &policy, json!({}))
            .await;
        for binding in policy["bindings"].as_array().into_iter().flatten() {
            for member in binding["members"].as_array().into_iter().flatten() {
                names.insert(format!("{} {}", binding["role"], member));
            }
        }
        let ours = names.iter().filter(|name| name.contains(&self.client));
        ours.map(|name| name.replace(&self.client, "CLIENT"))
            .collect()
    }
}

fn lists() -> [String; 7] {
    let (v1, at) = (
        format!("/v1/projects/{PROJECT}"),
        format!("locations/{REGION}"),
    );
    [
        format!("/storage/v1/b?project={PROJECT}&maxResults=1000"),
        format!("/bigquery/v2/projects/{PROJECT}/datasets?maxResults=1000"),
        format!("{v1}/secrets?pageSize=1000"),
        format!("{v1}/serviceAccounts?pageSize=100"),
        format!("{v1}/{at}/repositories?pageSize=1000"),
        format!("{v1}/{at}/jobs?pageSize=500"),
        format!("/v2/projects/{PROJECT}/{at}/jobs?pageSize=1000"),
    ]
}

/// A bundle is named by the hash of what it holds, which is the client's name too.
fn without_hash(name: &str) -> &str {
    let bundle = name
        .strip_suffix(".json")
        .and_then(|name| name.rsplit_once('/'));
    bundle.map_or(name, |(folder, _)| folder)
}

/// The names in a list's answer.
fn named(answer: &Json, take: &mut impl FnMut(&str)) {
    match answer {
        Json::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Json::String(name)
                        if ["name", "email", "datasetId"].contains(&field.as_str()) =>
                    {
                        take(name);
                    }
                    _ => named(value, take),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| named(item, take)),
        _ => {}
    }
}

/// What an undisturbed client comes to, and how many writes that takes.
struct Undisturbed {
    made: BTreeSet<String>,
    changed: BTreeSet<String>,
    writes: usize,
}

async fn undisturbed(cloud: &Arc<Cloud>, cache: &Path) -> Undisturbed {
    let desk = Desk::new(cloud, cache, "whole".to_owned());
    desk.declare(FIRST);
    let first = desk.xetl(&["apply", "--yes"], None).await;
    assert_eq!(first.code, Some(0), "{}", first.said);
    let made = desk.inventory().await;
    assert!(made.len() >= 14, "{made:?}");
    desk.declare(THEN);
    let then = desk.xetl(&["apply", "--yes"], None).await;
    assert_eq!(then.code, Some(0), "{}", then.said);
    let changed = desk.inventory().await;
    let destroyed = desk.xetl(&DESTROY, None).await;
    assert_eq!(destroyed.code, Some(0), "{}", destroyed.said);
    assert_eq!(desk.inventory().await, BTreeSet::new());
    Undisturbed {
        made,
        changed,
        writes: first.writes.max(then.writes).max(destroyed.writes),
    }
}

async fn survives(cloud: &Arc<Cloud>, cache: &Path, truth: &Undisturbed, number: usize) {
    use Moment::{After, Before};
    for (moment, other, client) in [(Before, After, "b"), (After, Before, "a")] {
        let desk = Desk::new(cloud, cache, format!("dies{number}{client}"));
        desk.declare(FIRST);
        desk.do_and_die(&["apply", "--yes"], (number, moment)).await;
        assert_eq!(desk.inventory().await, truth.made, "{number} {moment:?}");
        desk.is_as_declared().await;
        desk.declare(THEN);
        desk.do_and_die(&["apply", "--yes"], (number, other)).await;
        assert_eq!(desk.inventory().await, truth.changed, "{number} {other:?}");
        desk.is_as_declared().await;
        desk.do_and_die(&DESTROY, (number, moment)).await;
        assert_eq!(
            desk.inventory().await,
            BTreeSet::new(),
            "{number} {moment:?}"
        );
    }
}

#[test]
fn a_client_outlives_any_death_of_the_one_who_provisions_it() {
    block(async {
        let cloud = Cloud::start().await;
        let cache = tempfile::tempdir().unwrap();
        let truth = undisturbed(&cloud, cache.path()).await;
        assert!(truth.writes >= 20, "only {} writes were seen", truth.writes);
        let cases = (0..truth.writes).map(|number| survives(&cloud, cache.path(), &truth, number));
        futures::stream::iter(cases.map(Box::pin))
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    });
}
