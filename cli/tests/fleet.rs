//! Many clients at once: planned by lists, applied side by side, changed by hand, taken away,
//! upgraded in waves.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};
use world::World;

const SOURCE: &str = r#"version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [things]}
streams:
  - type: DeclarativeStream
    name: things
    schema_loader: {type: InlineSchemaLoader, schema: {type: object, properties: {id: {type: integer}}}}
    retriever:
      type: SimpleRetriever
      requester:
        type: HttpRequester
        url: "{{ config['url'] }}"
        error_handler: {type: DefaultErrorHandler, max_retries: 0}
      record_selector:
        type: RecordSelector
        extractor: {type: DpathExtractor, field_path: []}
spec:
  type: Spec
  connection_specification: {type: object, properties: {url: {type: string}}}
"#;

/// A workspace of `c00`, `c01`, ... in two projects.
struct Clients {
    world: World,
    runtime: Runtime,
    source: MockServer,
}

impl Clients {
    fn new(count: usize) -> Clients {
        let runtime = Runtime::new().unwrap();
        let source = runtime.block_on(MockServer::start());
        let world = World::new();
        world.write(
            "xetl.yaml",
            "target: local\nproject: proj-a\nregion: europe-west2\n",
        );
        world.write("sources/things.yaml", SOURCE);
        let clients = Clients {
            world,
            runtime,
            source,
        };
        for number in 0..count {
            clients.declare(number, "0 2 * * *");
        }
        clients.answer(|_| 200, count);
        clients
    }

    fn declare(&self, number: usize, cron: &str) {
        let project = ["proj-a", "proj-b"][number % 2];
        let url = format!("{}/c{number:02}", self.source.uri());
        self.world.write(
            &format!("clients/c{number:02}.yaml"),
            &format!(
                "client: c{number:02}\nproject: {project}\npipelines:\n  things:\n    source: things\n    \
                 config: {{url: \"{url}\"}}\n    schedule: {{cron: \"{cron}\"}}\n"
            ),
        );
    }

    /// What the source answers each client from now on.
    fn answer(&self, status: impl Fn(usize) -> u16, count: usize) {
        self.runtime.block_on(async {
            self.source.reset().await;
            for number in 0..count {
                let reply = ResponseTemplate::new(status(number));
                let reply = reply.set_body_json(json!([{"id": 1}, {"id": 2}]));
                let mock = Mock::given(path(format!("/c{number:02}")));
                mock.respond_with(reply).mount(&self.source).await;
            }
        });
    }

    fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let endpoint = self.world.endpoint();
        self.runtime.block_on(async {
            let request = reqwest::Client::new()
                .request(method, format!("{endpoint}{path}"))
                .bearer_auth("local-user")
                .json(&body);
            let reply = request.send().await.unwrap().error_for_status().unwrap();
            reply.json().await.unwrap()
        })
    }

    fn enable_assets(&self) {
        for project in ["proj-a", "proj-b"] {
            let path = format!("/v1/projects/{project}/services/cloudasset.googleapis.com:enable");
            self.call(Method::POST, &path, json!({}));
        }
    }

    fn image(&self, number: usize) -> String {
        let project = ["proj-a", "proj-b"][number % 2];
        let path =
            format!("/v2/projects/{project}/locations/europe-west2/jobs/c{number:02}-things");
        let job = self.call(Method::GET, &path, json!({}));
        let containers = &job["template"]["template"]["containers"];
        let image = containers[0]["image"].as_str().unwrap();
        image.split('@').nth(1).unwrap().to_owned()
    }

    fn applied(count: usize) -> Clients {
        let clients = Clients::new(count);
        clients.world.ok(&["local", "up"]);
        clients.enable_assets();
        clients.world.ok(&["apply", "--all", "--yes"]);
        clients
    }
}

#[test]
fn plans_of_many_that_are_kept_stand_or_fall_one_by_one() {
    let clients = Clients::applied(4);
    let world = &clients.world;
    for number in 0..3 {
        clients.declare(number, "0 3 * * *");
    }
    world.ok(&["plan", "--all", "--out", "fleet.plan"]);
    clients.declare(2, "0 4 * * *");
    clients.declare(3, "0 5 * * *");
    let schedule = "/v1/projects/proj-b/locations/europe-west2/jobs/c01-things:pause";
    clients.call(Method::POST, schedule, json!({}));
    let applied = world.xetl(&["apply", "fleet.plan"]);
    assert_eq!(applied.code, Some(4), "{}", applied.stderr);
    insta::assert_snapshot!(applied.stdout, @"
      1 client: ~ schedule (cron)  c00
      ! c01: its plan cannot be applied: what it read has changed since: schedule c01-things (paused)
      ! c02: its plan cannot be applied: what is declared has changed since: schedule c02-things (cron)

    1 of 3 clients in 2 projects change: 1 to change, 22 unchanged.
      ! c01: its plan cannot be applied: what it read has changed since: schedule c01-things (paused)
      ! c02: its plan cannot be applied: what is declared has changed since: schedule c02-things (cron)
    Done: 1 step for 1 client.
    ");
    // What came after the plan was made waits for another.
    insta::assert_snapshot!(world.ok(&["plan", "--all"]), @"
      2 clients: ~ schedule (cron)  c02, c03
      1 client: ~ schedule (cron, paused)  c01

    3 of 4 clients in 2 projects change: 3 to change, 89 unchanged.
    ");
}

#[test]
fn an_image_that_is_not_there_fails_the_clients_that_pin_it() {
    let clients = Clients::new(3);
    let world = &clients.world;
    world.ok(&["local", "up"]);
    for number in 1..3 {
        let file = format!("clients/c{number:02}.yaml");
        let pin = "image: europe-west2-docker.pkg.dev/proj-a/images/runtime@sha256:";
        let text = world.read(&file) + &format!("{pin}{}\n", "0".repeat(64));
        world.write(&file, &text);
    }
    let planned = world.xetl(&["plan", "--all"]);
    assert_eq!(planned.code, Some(4), "{}", planned.stderr);
    insta::assert_snapshot!(planned.stdout, @"
      1 client: + 19 resources  c00
      ! c01: there is no image europe-west2-docker.pkg.dev/proj-a/images/runtime@sha256:0000000000000000000000000000000000000000000000000000000000000000, or you may not see it
      ! c02: there is no image europe-west2-docker.pkg.dev/proj-a/images/runtime@sha256:0000000000000000000000000000000000000000000000000000000000000000, or you may not see it

    1 of 3 clients in 2 projects change: 19 to create, 4 unchanged.
    ");
}

#[test]
fn many_clients_are_planned_and_applied_and_one_that_is_broken_stops_no_other() {
    let clients = Clients::new(5);
    let world = &clients.world;
    world.write("clients/zzz.yaml", "client: zzz\npipelinez: {}\n");
    let planned = world.xetl(&["plan", "--all"]);
    insta::assert_snapshot!(planned.stdout, @"
      5 clients: + 19 resources  c00, c01, c02, c03, c04
      ! zzz: clients/zzz.yaml:2:1: unknown key `pipelinez`

    5 of 6 clients in 2 projects change: 95 to create, 20 unchanged.
    ");
    assert_eq!(planned.code, Some(4), "{}", planned.stderr);

    clients.enable_assets();
    let applied = world.xetl(&["apply", "--all", "--yes"]);
    assert_eq!(applied.code, Some(4), "{}", applied.stderr);
    insta::assert_snapshot!(applied.stdout, @"
      5 clients: + 19 resources  c00, c01, c02, c03, c04
      ! zzz: clients/zzz.yaml:2:1: unknown key `pipelinez`

    5 of 6 clients in 2 projects change: 95 to create, 20 unchanged.
      ! zzz: clients/zzz.yaml:2:1: unknown key `pipelinez`
    Done: 95 steps for 5 clients.
    ");
    let lines = |begin: &str| {
        applied
            .stderr
            .lines()
            .filter(|line| line.starts_with(begin))
            .count()
    };
    assert_eq!(
        (lines("  done c0"), lines("failed zzz")),
        (5, 1),
        "{}",
        applied.stderr
    );
    let told = applied.stderr.lines().filter(|line| line.contains(": "));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    error: 1 of 6 clients failed: zzz
    hint: it was done for the others; the same command goes on from here
    ");

    std::fs::remove_file(world.path().join("clients/zzz.yaml")).unwrap();
    insta::assert_snapshot!(world.ok(&["plan", "--all"]), @"No changes for 5 clients in 2 projects. 115 unchanged.");
    // Lists and reads tell the same.
    let one = world.json(&["plan", "--client", "c03"]);
    let many = world.json(&["plan", "--where", "client=c03"]);
    assert_eq!(many["clients"], json!([one]));

    clients.declare(1, "0 3 * * *");
    clients.declare(2, "0 3 * * *");
    insta::assert_snapshot!(world.ok(&["plan", "--all"]), @"
      2 clients: ~ schedule (cron)  c01, c02

    2 of 5 clients in 2 projects change: 2 to change, 113 unchanged.
    ");
    insta::assert_snapshot!(world.ok(&["plan", "--where", "project=proj-b"]), @"
      1 client: ~ schedule (cron)  c01

    1 of 2 clients in 1 project change: 1 to change, 45 unchanged.
    ");
    insta::assert_snapshot!(world.ok(&["apply", "--where", "project=proj-b", "--yes"]), @"
      1 client: ~ schedule (cron)  c01

    1 of 2 clients in 1 project change: 1 to change, 45 unchanged.
    Done: 1 step for 1 client.
    ");

    insta::assert_snapshot!(world.ok(&["status", "--all"]), @"5 pipelines of 5 clients: 5 never ran.");
    clients.answer(|number| if number == 3 { 500 } else { 200 }, 5);
    let run = world.xetl(&["run", "--all", "--wait"]);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(
        run.stdout.contains("4 executions done, 8 rows."),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("1 of 5 clients failed: c03"),
        "{}",
        run.stderr
    );
    let status = world.ok(&["status", "--all"]);
    assert!(
        status.contains("5 pipelines of 5 clients: 4 succeeded, 1 failed."),
        "{status}"
    );

    let nobody = world.xetl(&["plan", "--where", "source=xero"]);
    insta::assert_snapshot!(nobody.stderr, @"error: no client is like that");
    let unknown = world.xetl(&["plan", "--where", "color=red"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
}

#[test]
fn what_somebody_changed_by_hand_is_drift_until_it_is_put_right() {
    let clients = Clients::applied(3);
    let world = &clients.world;
    let drift = |arguments: &[&str]| world.xetl(&[&["drift"], arguments].concat());
    assert_eq!(drift(&["--all"]).code, Some(0));

    let schedule = "/v1/projects/proj-b/locations/europe-west2/jobs/c01-things";
    clients.call(Method::POST, &format!("{schedule}:pause"), json!({}));
    let secret_path = "/v2/projects/proj-a/locations/europe-west2/jobs/c02-things";
    let policy = json!({"policy": {"bindings": []}});
    clients.call(Method::POST, &format!("{secret_path}:setIamPolicy"), policy);

    let all = drift(&["--all"]);
    assert_eq!(all.code, Some(2), "{}", all.stderr);
    insta::assert_snapshot!(all.stdout, @"
      1 client: + iam  c02
      1 client: ~ schedule (paused)  c01

    2 of 3 clients in 2 projects change: 1 to create, 1 to change, 67 unchanged.
    ");
    let one = drift(&["--client", "c01"]);
    assert_eq!(one.code, Some(2), "{}", one.stderr);
    insta::assert_snapshot!(one.stdout, @"
      ~ schedule   c01-things
                   paused  true -> false

    1 to change, 22 unchanged.
    ");

    world.ok(&["apply", "--all", "--yes"]);
    assert_eq!(drift(&["--all"]).code, Some(0));
    assert_eq!(drift(&["--client", "nobody"]).code, Some(1));
}

#[test]
fn clients_without_a_file_are_deleted_unless_they_are_many() {
    let clients = Clients::applied(6);
    let world = &clients.world;
    let forget = |name: &str| {
        std::fs::remove_file(world.path().join(format!("clients/{name}.yaml"))).unwrap();
    };
    forget("c05");
    insta::assert_snapshot!(world.ok(&["plan", "--all"]), @"
      1 client: - 12 resources  c05

    1 of 6 clients in 2 projects change: 12 to delete, 115 unchanged.
    ");
    world.ok(&["apply", "--all", "--yes"]);
    assert!(
        world
            .ok(&["plan", "--all"])
            .contains("No changes for 5 clients")
    );

    forget("c03");
    forget("c04");
    let refused = world.xetl(&["apply", "--all", "--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    insta::assert_snapshot!(refused.stderr, @"
    error: the plan deletes jobs of 2 of 5 clients: c03, c04
    hint: nothing was changed; if they are to go, say so with `--allow-deletions 2`
    ");
    world.ok(&["apply", "--all", "--yes", "--allow-deletions", "2"]);
    assert!(
        world
            .ok(&["plan", "--all"])
            .contains("No changes for 3 clients")
    );

    let paused = world.ok(&["destroy", "--client", "c01", "--pause", "--yes"]);
    insta::assert_snapshot!(paused, @"
      ~ schedule   c01-things
                   paused  false -> true

    1 to change.
    Done: 1 step.
    ");
    assert_eq!(world.xetl(&["drift", "--client", "c01"]).code, Some(2));
    world.ok(&[
        "destroy",
        "--client",
        "c01",
        "--yes",
        "--receipt",
        "gone.json",
    ]);
    let receipt: Value = serde_json::from_str(&world.read("gone.json")).unwrap();
    let kinds = |key: &str| -> Vec<String> {
        let steps = receipt[key].as_array().unwrap().iter();
        steps
            .map(|step| step["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(kinds("deleted").contains(&"job".to_owned()), "{receipt}");
    assert!(kinds("left").is_empty(), "{receipt}");
}

#[test]
fn an_upgrade_stops_at_the_wave_that_fails_and_gives_its_clients_their_image_back() {
    let clients = Clients::applied(5);
    let world = &clients.world;
    world.ok(&["run", "--all", "--wait"]);
    let old = clients.image(0);

    // Another runtime that does the same: what follows an executable's end is not read.
    let runtime = world.path().join("xetl-runtime");
    let mut bytes = std::fs::read(world::built("xetl-runtime")).unwrap();
    bytes.extend(b"newer");
    std::fs::write(&runtime, bytes).unwrap();
    let upgrade = |waves: &str| {
        let mut command = world.command(&["upgrade", "--all", "--yes", "--wave", waves]);
        command.env("XETL_RUNTIME_BIN", &runtime);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    clients.answer(|number| if number == 2 { 500 } else { 200 }, 5);
    let (code, stdout, stderr) = upgrade("1,3");
    assert_eq!(code, Some(6), "{stdout}{stderr}");
    assert!(
        stdout.contains("wave 1 of 3: 1 client work with it"),
        "{stdout}"
    );
    assert!(
        stderr.contains("wave 2 of 3: 1 of 2 clients do not work"),
        "{stderr}"
    );
    let new = clients.image(0);
    assert_ne!(new, old);
    let images: Vec<bool> = (0..5).map(|number| clients.image(number) == new).collect();
    assert_eq!(images, [true, false, false, false, false]);

    // What the wave's end says takes it from those before alone: the wave itself has had it too.
    let hint = format!("xetl rollback --all --from {new}");
    assert!(stderr.contains(&hint), "{stderr}");
    world.ok(&["rollback", "--all", "--from", &new, "--yes"]);
    assert!((0..5).all(|number| clients.image(number) == old));
    let unpinned = world.read("clients/c00.yaml");
    let unpinned = unpinned.replace(&format!("image: {old}\n"), "");
    world.write("clients/c00.yaml", &unpinned);

    clients.answer(|_| 200, 5);
    let (code, stdout, stderr) = upgrade("50%");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!((0..5).all(|number| clients.image(number) == new));

    world.ok(&["rollback", "--client", "c04", "--yes"]);
    assert_eq!(clients.image(4), old);
    assert!(
        world
            .read("clients/c04.yaml")
            .contains(&format!("image: {old}"))
    );
    assert!(
        world
            .ok(&["plan", "--client", "c04"])
            .contains("No changes")
    );
}

#[test]
fn an_upgrade_is_for_those_that_can_be_reached_and_to_an_image_that_is_there() {
    let clients = Clients::applied(3);
    let world = &clients.world;
    let image = clients.image(0);
    let run = |arguments: &[&str]| {
        let output = world.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    for (no_image, word) in [
        ("latest".to_owned(), "pins no image"),
        ("sha256:zz".to_owned(), "pins no image"),
        (format!("sha256:{}", "0a".repeat(32)), "there is no image"),
    ] {
        let (code, said) = run(&["upgrade", "--all", "--yes", "--image", &no_image]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(word) && !said.contains("wave"), "{said}");
    }

    // All jobs run it, but no file pins it, as after a kill between the two.
    world.write("clients/c02.yaml", "client: c02\npipelinez: {}\n");
    let (code, said) = run(&["upgrade", "--all", "--yes", "--no-run", "--image", &image]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("unknown key `pipelinez`"), "{said}");
    assert!(said.contains("1 of 3 clients failed: c02"), "{said}");
    for client in ["c00", "c01"] {
        let file = world.read(&format!("clients/{client}.yaml"));
        assert!(file.contains(&format!("image: {image}")), "{file}");
    }

    // A project that cannot be seen is told, not passed over.
    clients.call(
        Method::POST,
        "/_local/projects",
        json!({"only": ["proj-a"]}),
    );
    let (code, said) = run(&["status", "--all"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("c01: project `proj-b` does not exist"),
        "{said}"
    );
    let (code, said) = run(&["rollback", "--where", "project=proj-b", "--yes"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("project `proj-b` does not exist"), "{said}");
}

#[test]
fn a_client_whose_files_are_lost_is_adopted_as_it_is() {
    let clients = Clients::applied(2);
    let world = &clients.world;
    let lose = |name: &str| std::fs::remove_file(world.path().join(name)).unwrap();
    lose("clients/c00.yaml");
    lose("sources/things.yaml");
    let told = world.ok(&["adopt", "--client", "c00"]);
    assert!(
        told.contains("clients/c00.yaml") && told.contains("sources/c00-things.yaml"),
        "{told}"
    );
    assert!(
        world
            .ok(&["plan", "--client", "c00"])
            .contains("No changes")
    );
    let again = world.xetl(&["adopt", "--client", "c00"]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    let nobody = world.xetl(&["adopt", "--client", "acme"]);
    insta::assert_snapshot!(nobody.stderr, @"
    error: project proj-a has no job of client `acme` in europe-west2
    hint: clients that have something there: c00
    ");
}

#[test]
fn jobs_made_by_hand_are_adopted_by_their_names() {
    // Another client's job has the account and the image that a job needs.
    let clients = Clients::applied(1);
    let world = &clients.world;
    let region = "projects/proj-a/locations/europe-west2";
    let there = clients.call(
        Method::GET,
        &format!("/v2/{region}/jobs/c00-things"),
        json!({}),
    );
    let create = |name: &str, labels: Value| {
        let task = &there["template"]["template"];
        let image = &task["containers"][0]["image"];
        let limits = json!({"limits": {"cpu": "2", "memory": "1Gi"}});
        let task = json!({
            "containers": [{"image": image, "resources": limits}],
            "serviceAccount": task["serviceAccount"], "timeout": "900s",
        });
        let job = json!({"labels": labels, "template": {"template": task}});
        clients.call(
            Method::POST,
            &format!("/v2/{region}/jobs?jobId={name}"),
            job,
        )
    };
    create("etl-acme-things", json!({}));
    let labels = json!({"managed-by": "xetl", "xetl-client": "other"});
    create("etl-globex-things", labels);
    let schedule = json!({
        "name": format!("{region}/jobs/nightly-acme"), "schedule": "15 4 * * *", "timeZone": "Europe/Paris",
        "httpTarget": {"uri": "https://example.com/run"},
    });
    clients.call(Method::POST, &format!("/v1/{region}/jobs"), schedule);

    let adopt = |client: &str| {
        let arguments = [
            "adopt",
            "--client",
            client,
            "--jobs",
            "etl-{client}-{pipeline}",
        ];
        let more = ["--schedules", "nightly-{client}", "--source", "things"];
        world.xetl(&[&arguments[..], &more].concat())
    };
    let adopted = adopt("acme");
    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
    insta::assert_snapshot!(world.read("clients/acme.yaml"), @"
    client: acme
    pipelines:
      things:
        source: things
        schedule:
          cron: 15 4 * * *
          time_zone: Europe/Paris
        cpu: 2
        memory: 1Gi
        timeout: 15m
        retries: 3
    ");
    insta::assert_snapshot!(adopted.stderr, @"
    Job etl-acme-things is not xetl's and stays as it is: pause its schedule before `xetl apply`, so that both do not run.
    Look at it, then at `xetl plan --client acme`.
    ");
    let mistyped = world.refused(
        2,
        &[
            "adopt",
            "--client",
            "initech",
            "--jobs",
            "etl-{client}",
            "--source",
            "thing",
        ],
    );
    assert!(
        mistyped
            .stderr
            .starts_with("error: --source: no source named `thing`"),
        "{}",
        mistyped.stderr
    );
    let foreign = adopt("globex");
    assert_eq!(foreign.code, Some(1), "{}", foreign.stderr);
    assert!(
        foreign
            .stderr
            .contains("job `etl-globex-things` belongs to client `other`")
    );
}

#[test]
fn a_client_that_moved_to_another_project_is_said_to_go_on_in_the_one_it_was_in() {
    let clients = Clients::new(3);
    let world = &clients.world;
    world.ok(&["apply", "--all", "--yes"]);
    let settled = world.json(&["plan", "--all"]);
    assert_eq!(settled["warnings"], json!([]));
    let file = world.read("clients/c00.yaml");
    let moved = file.replace("project: proj-a", "project: proj-b");
    assert_ne!(moved, file);
    world.write("clients/c00.yaml", &moved);
    let plan = world.json(&["plan", "--all"]);
    let warnings = plan["warnings"].to_string();
    assert!(
        warnings.contains("client c00 still has jobs in project proj-a"),
        "{warnings}"
    );
}
