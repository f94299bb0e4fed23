//! `xetl doctor` against the local cloud: what people see, what it mends, how it ends.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use world::World;

fn world(more: &str) -> World {
    let world = World::new();
    let text = format!("target: local\nproject: acme-prod\nregion: europe-west2\n{more}");
    world.write("xetl.yaml", &text);
    world.write(
        "clients/acme.yaml",
        "client: acme\npipelines:\n  close: {source: close, config: {start_date: \"2024-01-01\"}}\n",
    );
    // Neither the binary nor Terraform of this machine shows in what is compared.
    let program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0\x78\0\x40\0\0\0\0\0\x40\0\0\0\0\0\0\0";
    let mut program = program.to_vec();
    program.resize(54, 0);
    program.extend([56, 0, 0, 0]);
    program.resize(128, 0);
    std::fs::write(world.path().join("runtime"), program).unwrap();
    world
}

/// Exit code and stdout.
fn doctor(world: &World, more: &[&str]) -> (Option<i32>, String) {
    doctor_of(world, &[&["--client", "acme"], more].concat())
}

fn doctor_of(world: &World, which: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["doctor"], which].concat();
    let mut command = world.command(&arguments);
    command
        .env("XETL_RUNTIME_BIN", world.path().join("runtime"))
        .env("PATH", "");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // It moves with the CA roots.
    let digest = regex::Regex::new("sha256:[0-9a-f]{12}").unwrap();
    let text = digest.replace_all(&text, "sha256:DIGEST").into_owned();
    (output.status.code(), text)
}

#[test]
fn apis_that_are_off_are_named_and_enabled_on_request() {
    let world = world("");
    let (code, text) = doctor(&world, &[]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(text, @r"
    acme  acme-prod
      ok       credentials  the local cloud's own user
      ok       clock        as Google's
      warning  project      not known while cloudresourcemanager.googleapis.com is off
                            gcloud services enable cloudresourcemanager.googleapis.com --project=acme-prod
      warning  billing      not known while cloudbilling.googleapis.com is off
                            gcloud services enable cloudbilling.googleapis.com --project=acme-prod
      warning  apis         off: artifactregistry.googleapis.com, cloudresourcemanager.googleapis.com, cloudscheduler.googleapis.com, iam.googleapis.com, run.googleapis.com, secretmanager.googleapis.com (`xetl apply` enables them)
                            gcloud services enable artifactregistry.googleapis.com cloudresourcemanager.googleapis.com cloudscheduler.googleapis.com iam.googleapis.com run.googleapis.com secretmanager.googleapis.com --project=acme-prod
      warning  permissions  not known while cloudresourcemanager.googleapis.com is off
      ok       jobs         none of 1000 a region, europe-west2
      ok       accounts     none of 100 a project
      ok       image        sha256:DIGEST, packed; `xetl apply` pushes it
      ok       terraform    not installed, and xetl needs none
    No problem, 4 warnings.
    ");
    let (code, text) = doctor(&world, &["--fix"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(text, @r"
    acme  acme-prod
      ok       credentials  the local cloud's own user
      ok       clock        as Google's
      ok       project      acme-prod is active
      ok       billing      enabled
      ok       apis         all that are needed are on
      ok       permissions  all 82 that are needed
      ok       jobs         0 of 1000 a region, europe-west2, 1 more to come
      ok       accounts     0 of 100 a project, 1 more to come
      ok       image        sha256:DIGEST, packed; `xetl apply` pushes it
      ok       terraform    not installed, and xetl needs none
    Nothing stands in the way.
    ");
}

#[test]
fn a_problem_shows_in_the_exit_code_and_to_programs() {
    let world = world("image: europe-west2-docker.pkg.dev/acme-prod/images/runtime:v1\n");
    let (code, text) = doctor(&world, &["--format", "json"]);
    assert_eq!(code, Some(1));
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&found["version"], &found["problems"]),
        (&1.into(), &1.into())
    );
    let findings = found["findings"].as_array().unwrap();
    let image = findings.iter().find(|it| it["check"] == "image").unwrap();
    assert_eq!(image["level"], "problem");
    assert!(image["mend"].as_str().unwrap().contains("xetl image copy"));
}

#[test]
fn the_projects_of_many_are_looked_at_once_each() {
    let world = world("");
    for (client, project) in [("globex", "globex-prod"), ("initech", "globex-prod")] {
        let text = format!(
            "client: {client}\nproject: {project}\npipelines:\n  close: {{source: close, config: {{start_date: \"2024-01-01\"}}}}\n"
        );
        world.write(&format!("clients/{client}.yaml"), &text);
    }
    world.write("clients/zzz.yaml", "client: zzz\npipelinez: {}\n");
    let (code, text) = doctor_of(&world, &["--all"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(text, @"
      warning  apis         off: artifactregistry.googleapis.com, cloudresourcemanager.googleapis.com, cloudscheduler.googleapis.com, iam.googleapis.com, run.googleapis.com, secretmanager.googleapis.com (`xetl apply` enables them)
                            gcloud services enable artifactregistry.googleapis.com cloudresourcemanager.googleapis.com cloudscheduler.googleapis.com iam.googleapis.com run.googleapis.com secretmanager.googleapis.com --project=PROJECT
                            acme-prod, globex-prod
      warning  billing      not known while cloudbilling.googleapis.com is off
                            gcloud services enable cloudbilling.googleapis.com --project=PROJECT
                            acme-prod, globex-prod
      warning  permissions  not known while cloudresourcemanager.googleapis.com is off
                            acme-prod, globex-prod
      warning  project      not known while cloudresourcemanager.googleapis.com is off
                            gcloud services enable cloudresourcemanager.googleapis.com --project=PROJECT
                            acme-prod, globex-prod
      ! zzz: clients/zzz.yaml:2:1: unknown key `pipelinez`
    4 clients in 2 projects. 1 problem, 8 warnings.
    ");
    std::fs::remove_file(world.path().join("clients/zzz.yaml")).unwrap();
    let (code, text) = doctor_of(&world, &["--all", "--fix"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(text, @"3 clients in 2 projects. Nothing stands in the way.");
    let (_, text) = doctor_of(&world, &["--where", "client=initech", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        found["places"][0]["clients"],
        serde_json::json!(["initech"])
    );
    assert_eq!(found["problems"], 0);
}
