//! What is wrong is said: what, where, and what to do; and a rerun mends it.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::process::Stdio;

use world::{Done, World, wait_for};

/// What a command says that has to fail with this exit code.
fn refused(world: &World, code: i32, arguments: &[&str]) -> String {
    world.refused(code, arguments).stderr
}

fn workspace() -> World {
    let world = World::new();
    world.ok(&["init"]);
    world
}

/// The client file that onboarding would write, with the sandbox as its Xero.
fn client(world: &World, xero: &str) {
    world.write(
        "clients/acme.yaml",
        &format!(
            "client: acme\npipelines:\n  xero:\n    source: xero\n    config:\n      start_date: \"2020-01-01\"\n      \
             api_url: {xero}\n      identity_url: {xero}\n      calls_per_minute: 100000\n      credentials:\n        \
             auth_type: custom_connection\n        client_id: sandbox\n"
        ),
    );
}

#[test]
fn a_workspace_and_a_client_that_are_not_there_are_named() {
    let world = World::new();
    insta::assert_snapshot!(refused(&world, 2, &["plan", "--client", "acme"]).lines().nth(1).unwrap(),
        @"hint: `xetl init` makes one here; `-C DIR` names another folder");
    world.ok(&["init"]);
    world.write("clients/globex.yaml", "client: globex\npipelines: {}\n");
    insta::assert_snapshot!(refused(&world, 2, &["plan", "--client", "acme"]), @r"
    error: no client named `acme`
    hint: known clients: globex
    ");
}

#[test]
fn a_client_that_never_was_is_destroyed_with_a_word() {
    let world = workspace();
    client(&world, "http://127.0.0.1:1");
    world.ok(&["local", "up"]);
    let done = world.refused(0, &["destroy", "--client", "acmee", "--yes"]);
    insta::assert_snapshot!(done.stderr, @"Nothing in project local-project and australia-southeast1 says that it is client `acmee`'s; did you mean `acme`?");
    let refusal = refused(&world, 2, &["destroy", "--client", "../acme", "--yes"]);
    assert!(refusal.contains("--client: `../acme` must be"), "{refusal}");
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_one() {
    let world = workspace();
    world.write(
        "clients/acme.yaml",
        "client: acme\npipelines:\n  xero:\n    source: xero\n    shedule: {cron: 0 2 * * *}\n",
    );
    insta::assert_snapshot!(refused(&world, 2, &["plan", "--client", "acme"]), @r"
    error: clients/acme.yaml:5:5: unknown key `shedule`
    hint: did you mean `schedule`?
    ");
}

#[test]
fn a_missing_answer_is_asked_for_by_its_flag() {
    let world = workspace();
    let said = refused(
        &world,
        2,
        &["onboard", "--client", "acme", "--source", "xero", "--yes"],
    );
    assert!(
        said.contains("--config credentials.auth_type=..."),
        "{said}"
    );
    assert!(!world.path().join("clients/acme.yaml").exists());
}

#[test]
fn without_a_terminal_nothing_is_changed_unasked() {
    let mut world = workspace();
    let xero = world.sandbox(&[]);
    client(&world, &xero);
    let said = refused(&world, 5, &["apply", "--client", "acme"]);
    assert!(said.contains("--yes"), "{said}");
}

#[test]
fn a_missing_secret_stops_before_the_job_and_setting_it_mends_that() {
    let mut world = workspace();
    let xero = world.sandbox(&["--calls-per-minute", "100000"]);
    client(&world, &xero);
    let said = refused(&world, 4, &["apply", "--client", "acme", "--yes"]);
    assert!(
        said.contains("acme-xero-credentials-client-secret"),
        "{said}"
    );
    assert!(said.contains("xetl secrets set"), "{said}");

    let secret = world.write("secret", "wrong-secret");
    let set = |world: &World| {
        world.ok(&[
            "secrets",
            "set",
            "--client",
            "acme",
            "credentials.client_secret",
            "--from-file",
            secret.to_str().unwrap(),
        ]);
    };
    set(&world);
    world.ok(&["apply", "--client", "acme", "--yes"]);
    let Done {
        code,
        stdout,
        stderr,
    } = world.xetl(&["run", "--client", "acme", "--wait"]);
    assert_eq!(code, Some(6), "{stdout}{stderr}");
    assert!(
        format!("{stdout}{stderr}").contains("credentials"),
        "{stdout}{stderr}"
    );
    assert!(!format!("{stdout}{stderr}").contains("wrong-secret"));

    std::fs::write(&secret, "sandbox-secret").unwrap();
    set(&world);
    world.ok(&[
        "run",
        "--client",
        "acme",
        "--wait",
        "--stream",
        "currencies",
    ]);
}

#[test]
fn an_unreachable_source_fails_the_run_and_names_it() {
    let mut world = workspace();
    world.sandbox(&[]);
    // Nothing listens on port 1.
    client(&world, "http://127.0.0.1:1");
    let secret = world.write("secret", "sandbox-secret");
    world.xetl(&["apply", "--client", "acme", "--yes"]);
    world.ok(&[
        "secrets",
        "set",
        "--client",
        "acme",
        "credentials.client_secret",
        "--from-file",
        secret.to_str().unwrap(),
    ]);
    world.ok(&["apply", "--client", "acme", "--yes"]);
    let Done {
        code,
        stdout,
        stderr,
    } = world.xetl(&[
        "run",
        "--client",
        "acme",
        "--wait",
        "--stream",
        "currencies",
    ]);
    assert_eq!(code, Some(6), "{stdout}{stderr}");
    assert!(
        format!("{stdout}{stderr}").contains("127.0.0.1:1"),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_half_written_state_folder_is_mended_or_named() {
    let world = workspace();
    world.ok(&["local", "up"]);
    world.ok(&["local", "down"]);
    // A write that a kill cut off, and the announcement of a process that is gone.
    world.write(".xetl/local/secrets/.tmpAbC123", "{\"half");
    world.write(
        ".xetl/local/endpoint.json",
        "{\"url\": \"http://127.0.0.1:1\", \"pid\": 999999999}",
    );
    world.ok(&["local", "up"]);
    world.ok(&["local", "down"]);
    // A document someone damaged is not guessed at.
    world.write(".xetl/local/buckets/b.json", "{\"half");
    let said = refused(&world, 3, &["local", "up"]);
    assert!(said.contains("b.json"), "{said}");
}

#[test]
fn an_onboarding_killed_at_any_moment_goes_on_when_run_again() {
    let mut world = workspace();
    let xero = world.sandbox(&["--calls-per-minute", "100000"]);
    let secret = world.write("secret", "sandbox-secret");
    let (secret, api, identity) = (
        format!("credentials.client_secret={}", secret.display()),
        format!("api_url={xero}"),
        format!("identity_url={xero}"),
    );
    let arguments = [
        "onboard",
        "--client",
        "acme",
        "--source",
        "xero",
        "--yes",
        "--config",
        "credentials.auth_type=custom_connection",
        "--config",
        "credentials.client_id=sandbox",
        "--config",
        "start_date=2020-01-01",
        "--config",
        "calls_per_minute=100000",
        "--config",
        &api,
        "--config",
        &identity,
        "--secret-file",
        &secret,
    ];
    for milliseconds in [300, 700, 1100, 1500, 2000] {
        let mut child = world
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
    }
    wait_for("an onboarding that gets through", || {
        (world.xetl(&arguments).code == Some(0)).then_some(())
    });
    let plan = world.ok(&["plan", "--client", "acme"]);
    assert!(plan.starts_with("No changes."), "{plan}");
    // An execution that a killed onboarding started goes on without it, so the rows may be on their way.
    let count = "select count(*) n, count(distinct InvoiceID) k from acme_xero.invoices";
    let query = ["query", "--client", "acme", "--format", "json", count];
    let rows = wait_for("the rows", || {
        let done = world.xetl(&query);
        let rows: serde_json::Value = serde_json::from_str(&done.stdout).ok()?;
        (rows[0]["n"].as_u64()? > 0).then_some(rows)
    });
    assert_eq!(rows[0]["n"], rows[0]["k"], "no invoice was loaded twice");
}
