//! Images in the local cloud, which stands for Artifact Registry: pushes for many clients, lists,
//! and images that are not there.

use serde_json::Value;

use super::judge::{AMD64, good, listed_program, noise, refusal};
use super::world::World;

/// A workspace with two clients, whose runtime is the smallest program.
fn world() -> World {
    let world = World::new();
    std::fs::write(world.path().join("runtime"), listed_program(AMD64)).unwrap();
    workspace_file(&world, "");
    for client in ["acme", "globex"] {
        let text = format!("client: {client}\npipelines: {{}}\n");
        world.write(&format!("clients/{client}.yaml"), &text);
    }
    world
}

fn workspace_file(world: &World, more: &str) {
    let text = "target: local\nproject: acme-prod\nregion: europe-west2\n";
    world.write("xetl.yaml", &format!("{text}{more}"));
}

fn output(world: &World, arguments: &[&str]) -> std::process::Output {
    let mut command = world.command(arguments);
    command.env("XETL_RUNTIME_BIN", world.path().join("runtime"));
    command.output().unwrap()
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let arguments = [&["--format", "json"], arguments].concat();
    serde_json::from_str(&good(output(world, &arguments))).unwrap()
}

#[test]
fn a_second_client_gets_the_blobs_of_the_first_and_lists_show_both() {
    let world = world();
    for client in ["acme", "globex"] {
        good(output(&world, &["apply", "--client", client, "--yes"]));
    }
    // A new runtime, which neither has.
    let more = [listed_program(AMD64), noise(1 << 16)].concat();
    std::fs::write(world.path().join("runtime"), more).unwrap();
    let first = json(&world, &["image", "push", "--client", "acme"]);
    let second = json(&world, &["image", "push", "--client", "globex"]);
    let sent = |pushed: &Value| pushed["sent"].as_u64().unwrap();
    // What goes to the second are manifests: the image's and those that refer to it.
    assert!(sent(&second) < 8192 && sent(&first) > 1 << 16, "{second}");
    assert_eq!(
        sent(&json(&world, &["image", "push", "--client", "globex"])),
        0
    );

    let listed = json(&world, &["image", "list", "--client", "globex"]);
    let kinds = listed["images"].as_array().unwrap().iter();
    let mut kinds: Vec<_> = kinds.map(|it| it["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["cyclonedx", "image", "in-toto"]);

    let shown = json(&world, &["image", "inspect", "--client", "globex"]);
    let referrers = shown["images"][0]["referrers"].as_array().unwrap();
    assert_eq!(referrers.len(), 2);
    let (_, digest) = second["image"].as_str().unwrap().split_once('@').unwrap();
    assert_eq!(shown["digest"], digest);
}

#[test]
fn an_image_that_no_job_could_run_is_found_at_plan_time() {
    let world = world();
    let plan = |image: &str| {
        workspace_file(&world, &format!("image: {image}\n"));
        output(&world, &["plan", "--client", "acme"])
    };
    let absent = refusal(&plan(
        "europe-west2-docker.pkg.dev/acme-prod/xetl-acme/runtime:v1",
    ));
    insta::assert_snapshot!(absent, @r"
    error: there is no image europe-west2-docker.pkg.dev/acme-prod/xetl-acme/runtime:v1, or you may not see it
    hint: `xetl image list europe-west2-docker.pkg.dev/acme-prod/xetl-acme/runtime` shows what is there, `xetl image copy` brings one; without `image:` in xetl.yaml xetl builds and pushes its own
    ");
    let foreign = refusal(&plan("ghcr.io/acme/runtime:v1"));
    insta::assert_snapshot!(foreign, @r"
    error: Cloud Run cannot pull the image ghcr.io/acme/runtime:v1: it takes them from Artifact Registry and Docker Hub, not from ghcr.io
    hint: `xetl image copy ghcr.io/acme/runtime:v1 REGION-docker.pkg.dev/PROJECT/REPOSITORY/runtime`, and name that in xetl.yaml
    ");
}

#[test]
fn a_tag_is_told_the_digest_to_pin() {
    let world = world();
    good(output(&world, &["apply", "--client", "acme", "--yes"]));
    let pushed = json(&world, &["image", "push", "--client", "acme"]);
    let image = "europe-west2-docker.pkg.dev/acme-prod/xetl-acme/runtime";
    workspace_file(&world, &format!("image: {image}\n"));
    let plan = output(&world, &["plan", "--client", "acme"]);
    let said = String::from_utf8_lossy(&plan.stderr).into_owned();
    let pin = format!("  image: {}", pushed["image"].as_str().unwrap());
    assert!(said.contains(&pin), "{said}");
    good(plan);
}
