//! The CLI killed at any of its writes while it makes things anew in another place, and while it
//! makes, changes and removes alerts: nothing is left over, nothing is there twice.
//!
//! A death after a write is a death before the next one, so each write is died at once. A client
//! goes to and fro until it needs fewer writes than the next death wants.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::block;
use crate::cloud::{Cloud, PROJECT};
use crate::provision::{DESTROY, Desk};
use crate::proxy::Moment;

/// Of these only what there is matters, so nothing is wrong with a client that has no secret's value.
const LACKS_A_VALUE: i32 = 4;
const HERE: &str = "pipelines:\n  one: {source: things}\n";
const ELSEWHERE: &str = "bucket: {location: EU}
warehouse: {location: EU}
secret_manager: {locations: [europe-west1]}
pipelines:
  one: {source: things}
";

/// Where things are, and who may use them.
async fn places(desk: &Desk<'_>) -> BTreeSet<String> {
    let (client, cloud) = (&desk.client, desk.cloud);
    let bucket = format!("/storage/v1/b/{PROJECT}-xetl-{client}");
    let dataset = format!("/bigquery/v2/projects/{PROJECT}/datasets/{client}_one");
    let secret = format!("/v1/projects/{PROJECT}/secrets/{client}-one-key");
    let mut places = desk.inventory().await;
    for (path, field) in [
        (bucket.clone(), "location"),
        (dataset.clone(), "location"),
        (dataset, "access"),
        (secret.clone(), "replication"),
        (format!("{bucket}/iam"), "bindings"),
        (format!("{secret}:getIamPolicy"), "bindings"),
    ] {
        let found = cloud.get(&path).await.unwrap_or_default();
        places.insert(format!("{field} {}", found[field]));
    }
    places
}

async fn apply(desk: &Desk<'_>, pipelines: &str, code: i32) {
    desk.declare(pipelines);
    let done = desk.xetl(&["apply", "--yes"], None).await;
    assert_eq!(done.code, Some(code), "{}", done.said);
}

/// Does it with a death after a write, then again without; gives whether it died.
async fn dies(desk: &Desk<'_>, arguments: &[&str], number: usize, code: i32) -> bool {
    let died = desk.xetl(arguments, Some((number, Moment::After))).await;
    if died.code.is_some() {
        assert_eq!(died.code, Some(code), "{number}\n{}", died.said);
        return false;
    }
    let again = desk.xetl(arguments, None).await;
    assert_eq!(again.code, Some(code), "{number}\n{}", again.said);
    true
}

#[test]
fn what_is_made_anew_elsewhere_outlives_any_death() {
    block(async {
        let cloud = Cloud::start().await;
        let cache = tempfile::tempdir().unwrap();
        let desk = Desk::new(&cloud, cache.path(), "mover".to_owned());
        desk.add_to_source(include_str!("../world/secret.yaml"));
        apply(&desk, HERE, LACKS_A_VALUE).await;
        let here = places(&desk).await;
        apply(&desk, ELSEWHERE, LACKS_A_VALUE).await;
        let elsewhere = places(&desk).await;
        assert_eq!(
            here.difference(&elsewhere).count(),
            3,
            "{here:?} {elsewhere:?}"
        );
        let ways = [(HERE, &here), (ELSEWHERE, &elsewhere)];
        let mut number = 0;
        loop {
            let (pipelines, truth) = ways[number % 2];
            desk.declare(pipelines);
            let died = dies(&desk, &["apply", "--yes"], number, LACKS_A_VALUE).await;
            assert_eq!(places(&desk).await, *truth, "{number}");
            if !died {
                break;
            }
            number += 1;
        }
        assert!(number >= 12, "only {number} writes were seen");
    });
}

fn alerts(email: &str) -> String {
    format!(
        "alerts: {{email: [{email}]}}\npipelines:\n  one: {{source: things, schedule: {{cron: 0 2 * * *}}}}\n"
    )
}

const QUIET: &str = "pipelines:\n  one: {source: things, schedule: {cron: 0 2 * * *}}\n";

/// Who is told of what, by what the cloud says: channels by their addresses, alerts by theirs.
async fn told(cloud: &Cloud) -> Vec<String> {
    let list = async |path: &str, key: &str| {
        let all = cloud.get(path).await.unwrap_or_default();
        all[key].as_array().cloned().unwrap_or_default()
    };
    let monitoring = format!("/v3/projects/{PROJECT}");
    let channels = format!("{monitoring}/notificationChannels");
    let channels = list(&channels, "notificationChannels").await;
    let policies = list(&format!("{monitoring}/alertPolicies"), "alertPolicies").await;
    let metrics = list(&format!("/v2/projects/{PROJECT}/metrics"), "metrics").await;
    let email = |channel: &Json| channel["labels"]["email_address"].to_string();
    let tells = |policy: &Json| {
        let names = policy["notificationChannels"].as_array().unwrap();
        let of = |name: &Json| channels.iter().find(|channel| channel["name"] == *name);
        let emails: Vec<_> = names.iter().map(|name| email(of(name).unwrap())).collect();
        format!("{} {emails:?}", policy["displayName"])
    };
    let all = channels.iter().map(email);
    let all = all.chain(metrics.iter().map(|it| it["name"].to_string()));
    let mut all: Vec<String> = all.chain(policies.iter().map(tells)).collect();
    all.sort();
    all
}

/// Has the alerts of a client made, changed and removed, with a death each; gives whether it died.
async fn make_change_remove(desk: &Desk<'_>, truth: &[Vec<String>; 3], number: usize) -> bool {
    let ways = [
        alerts("a@b.example"),
        alerts("c@b.example"),
        QUIET.to_owned(),
    ];
    let mut died = false;
    for (pipelines, truth) in ways.iter().zip(truth) {
        desk.declare(pipelines);
        died |= dies(desk, &["apply", "--yes"], number, 0).await;
        assert_eq!(told(desk.cloud).await, *truth, "{number}");
    }
    died
}

#[test]
fn alerts_outlive_any_death_of_the_one_who_changes_them() {
    block(async {
        let cloud = Cloud::start().await;
        let cache = tempfile::tempdir().unwrap();
        let desk = Desk::new(&cloud, cache.path(), "teller".to_owned());
        let mut truth = [const { Vec::new() }; 3];
        for (truth, pipelines) in
            truth
                .iter_mut()
                .zip([&alerts("a@b.example"), &alerts("c@b.example"), QUIET])
        {
            apply(&desk, pipelines, 0).await;
            *truth = told(&cloud).await;
        }
        assert_eq!(truth.each_ref().map(Vec::len), [4, 4, 0]);
        let mut number = 0;
        while make_change_remove(&desk, &truth, number).await {
            number += 1;
        }
        assert!(number >= 4, "only {number} writes were seen");
    });
}

/// One makes channel and metric and leaves; the other, who uses them still, dies as it leaves.
async fn leave_and_die(cloud: &Arc<Cloud>, cache: &Path, number: usize) -> bool {
    let desk = |name: &str| Desk::new(cloud, cache, name.to_owned());
    let (maker, user) = (desk("maker"), desk("user"));
    apply(&maker, &alerts("a@b.example"), 0).await;
    apply(&user, &alerts("a@b.example"), 0).await;
    apply(&maker, QUIET, 0).await;
    assert_eq!(told(cloud).await.len(), 4);
    user.declare(QUIET);
    let died = dies(&user, &["apply", "--yes"], number, 0).await;
    assert_eq!(told(cloud).await, Vec::<String>::new(), "{number}");
    died
}

#[test]
fn what_clients_share_goes_with_the_last_of_them_wherever_it_dies() {
    block(async {
        let cloud = Cloud::start().await;
        let cache = tempfile::tempdir().unwrap();
        let mut number = 0;
        while leave_and_die(&cloud, cache.path(), number).await {
            number += 1;
        }
        assert!(number >= 6, "only {number} writes were seen");
        // The same where a client goes as a whole.
        let user = Desk::new(&cloud, cache.path(), "user".to_owned());
        apply(&user, &alerts("a@b.example"), 0).await;
        dies(&user, &DESTROY, 3, 0).await;
        assert_eq!(told(&cloud).await, Vec::<String>::new());
    });
}
