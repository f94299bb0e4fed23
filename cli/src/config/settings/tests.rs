use super::*;

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn names_of_xetl_and_google_are_nobody_elses() {
    assert!(labels("", &pairs(&[("team", "data-1")])).is_ok());
    for bad in [
        ("managed-by", "x"),
        ("xetl-a", "x"),
        ("Team", "x"),
        ("a", "X Y"),
    ] {
        labels("", &pairs(&[bad])).unwrap_err();
    }
    assert!(env("p", &pairs(&[("LOG", "debug")])).is_ok());
    for bad in ["CLOUD_RUN_JOB", "XETL_BUNDLE", "1A", "A-B", ""] {
        env("p", &pairs(&[(bad, "x")])).unwrap_err();
    }
}

fn rule(prefix: &str, after: &str) -> Result<Lifecycle, ConfigError> {
    lifecycle(
        "bucket.lifecycle",
        &LifecycleFile {
            prefixes: vec![prefix.to_owned()],
            delete_after: Some(after.to_owned()),
            move_after: None,
            storage_class: None,
        },
    )
}

#[test]
fn a_rule_cannot_reach_state_bundles_or_a_run_of_this_week() {
    assert_eq!(rule("xero/invoices/run=", "90d").unwrap().days, 90);
    assert!(rule("xero/invoices/raw/", "8d").is_ok());
    for prefix in ["", "xero/", "xero/state/", "xero/bundle/", "xero/invoices"] {
        rule(prefix, "90d").unwrap_err();
    }
    rule("xero/invoices/run=", "6d").unwrap_err();
}

#[test]
fn a_network_is_direct_or_by_a_connector() {
    let file = |network: Option<&str>, connector: Option<&str>| VpcFile {
        network: network.map(str::to_owned),
        connector: connector.map(str::to_owned),
        ..VpcFile::default()
    };
    assert!(vpc("p", Some(&file(Some("n"), None))).unwrap().is_some());
    assert!(vpc("p", Some(&file(None, Some("c")))).unwrap().is_some());
    vpc("p", Some(&file(Some("n"), Some("c")))).unwrap_err();
    vpc("p", Some(&file(None, None))).unwrap_err();
    assert_eq!(vpc("p", None).unwrap(), None);
}

#[test]
fn readers_are_members() {
    let of = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        check_readers("p", &names)
    };
    assert!(of(&["group:a@b.c", "domain:b.c"]).is_ok());
    of(&["a@b.c"]).unwrap_err();
    of(&["domain:a@b.c"]).unwrap_err();
}
