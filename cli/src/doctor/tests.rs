use super::*;

fn denied<T>() -> Result<T, CloudError> {
    Err(CloudError::Denied {
        what: "the project".to_owned(),
        message: "no".to_owned(),
    })
}

fn healthy() -> Facts {
    Facts {
        project: "acme-prod".to_owned(),
        place: "xetl.yaml:2".to_owned(),
        region: "europe-west2".to_owned(),
        sign_in: Ok(SignIn {
            kind: "a service account's key".to_owned(),
            account: Some("ci@acme-prod.iam.gserviceaccount.com".to_owned()),
            quota_project: None,
            wants_quota_project: false,
        }),
        cloud: Some(CloudFacts {
            clock: Ok(1),
            state: Ok("ACTIVE".to_owned()),
            billing: Ok(true),
            apis_off: Ok(Vec::new()),
            permissions: Ok(asked().into_iter().collect()),
            jobs: Ok(Usage {
                there: 12,
                to_add: 2,
            }),
            accounts: Ok(Usage {
                there: 3,
                to_add: 0,
            }),
        }),
        images: vec![ImageFact::Own {
            digest: format!("sha256:{}", "a".repeat(64)),
            is_there: Some(true),
        }],
        terraform: Some("1.11.4".to_owned()),
    }
}

fn told(facts: &Facts) -> String {
    let lines = examine(facts).into_iter().map(|finding| {
        let Finding {
            check,
            level,
            sentence,
            mend,
            ..
        } = finding;
        let mend = mend
            .map(|mend| format!("\n  -> {mend}"))
            .unwrap_or_default();
        format!("{level:?} {check}: {sentence}{mend}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn where_all_is_well_every_check_says_so() {
    assert_eq!(count(&examine(&healthy()), Level::Ok), 10);
    insta::assert_snapshot!(told(&healthy()), @r"
    Ok credentials: a service account's key, ci@acme-prod.iam.gserviceaccount.com
    Ok clock: as Google's
    Ok project: acme-prod is active
    Ok billing: enabled
    Ok apis: all that are needed are on
    Ok permissions: all 82 that are needed
    Ok jobs: 12 of 1000 a region, europe-west2, 2 more to come
    Ok accounts: 3 of 100 a project
    Ok image: sha256:aaaaaaaaaaaa, in the repository
    Ok terraform: 1.11.4
    ");
}

#[test]
fn every_problem_comes_with_the_command_that_mends_it() {
    let mut facts = healthy();
    let mut held: BTreeSet<String> = asked().into_iter().collect();
    held.retain(|it| !it.starts_with("run.jobs.set") && !it.ends_with("actAs"));
    facts.cloud = Some(CloudFacts {
        clock: Ok(-400),
        state: Ok("DELETE_REQUESTED".to_owned()),
        billing: Ok(false),
        apis_off: Ok(vec!["run.googleapis.com".to_owned()]),
        permissions: Ok(held),
        jobs: Ok(Usage {
            there: 999,
            to_add: 2,
        }),
        accounts: Ok(Usage {
            there: 88,
            to_add: 2,
        }),
    });
    facts.images = vec![ImageFact::Unusable {
        problem: "there is no runtime binary".to_owned(),
        hint: Some("make runtime".to_owned()),
    }];
    facts.terraform = Some("1.2.0".to_owned());
    insta::assert_snapshot!(told(&facts), @r"
    Ok credentials: a service account's key, ci@acme-prod.iam.gserviceaccount.com
    Problem clock: 400 s behind Google's, and signed requests are refused
      -> timedatectl set-ntp true
    Problem project: acme-prod is DELETE_REQUESTED
      -> gcloud projects undelete acme-prod
    Problem billing: acme-prod has no billing account, and Cloud Run needs one
      -> gcloud billing projects link acme-prod --billing-account=ACCOUNT
    Warning apis: off: run.googleapis.com (`xetl apply` enables them)
      -> gcloud services enable run.googleapis.com --project=acme-prod
    Problem permissions: missing on the project: iam.serviceAccounts.actAs
      -> gcloud projects add-iam-policy-binding acme-prod --member=serviceAccount:ci@acme-prod.iam.gserviceaccount.com --role=roles/iam.serviceAccountUser
    Problem permissions: missing on the project: run.jobs.setIamPolicy
      -> gcloud projects add-iam-policy-binding acme-prod --member=serviceAccount:ci@acme-prod.iam.gserviceaccount.com --role=roles/run.admin
    Problem jobs: 999 of 1000 a region, europe-west2, 2 more to come
      -> give the client another project or region
    Warning accounts: 88 of 100 a project, 2 more to come
    Problem image: there is no runtime binary
      -> make runtime
    Ok terraform: 1.2.0
    ");
}

#[test]
fn what_may_not_be_asked_is_not_known_and_no_problem() {
    let mut facts = healthy();
    let disabled = || {
        Err(CloudError::Disabled {
            what: "jobs".to_owned(),
            api: "run.googleapis.com".to_owned(),
            message: "off".to_owned(),
        })
    };
    facts.cloud = Some(CloudFacts {
        clock: Ok(0),
        state: denied(),
        billing: denied(),
        apis_off: Ok(Vec::new()),
        permissions: denied(),
        jobs: disabled(),
        accounts: denied(),
    });
    facts.terraform = None;
    insta::assert_snapshot!(told(&facts), @r"
    Ok credentials: a service account's key, ci@acme-prod.iam.gserviceaccount.com
    Ok clock: as Google's
    Problem project: xetl.yaml:2: acme-prod does not exist, or you may not see it
      -> gcloud projects list
    Warning billing: not known: the project: no
      -> gcloud billing projects describe acme-prod
    Ok apis: all that are needed are on
    Warning permissions: not known: the project: no
    Ok jobs: none of 1000 a region, europe-west2
    Warning accounts: not known: the project: no
    Ok image: sha256:aaaaaaaaaaaa, in the repository
    Ok terraform: not installed, and xetl needs none
    ");
}

#[test]
fn of_a_project_that_is_nowhere_nothing_else_is_told() {
    let mut facts = healthy();
    if let Some(cloud) = &mut facts.cloud {
        (cloud.state, cloud.billing, cloud.apis_off) = (denied(), denied(), denied());
    }
    let problems = examine(&facts);
    let checks: Vec<_> = problems.iter().map(|it| it.check).collect();
    assert_eq!(
        checks,
        ["credentials", "clock", "project", "image", "terraform"]
    );
}

#[test]
fn without_credentials_only_this_machine_is_looked_at() {
    let facts = Facts {
        sign_in: Err(CloudError::Credentials {
            problem: "there are none".to_owned(),
        }),
        cloud: None,
        ..healthy()
    };
    let findings = examine(&facts);
    assert_eq!(findings[0].level, Level::Problem);
    assert_eq!(
        findings[0].mend.as_deref(),
        Some("gcloud auth application-default login")
    );
    assert_eq!(findings.len(), 3);
}

#[test]
fn nobody_is_sent_to_sign_in_where_the_network_is_down() {
    let facts = Facts {
        sign_in: Err(CloudError::Unreachable {
            endpoint: "Google to sign in".to_owned(),
            problem: "Connection refused".to_owned(),
        }),
        cloud: None,
        ..healthy()
    };
    let finding = &examine(&facts)[0];
    assert_eq!(
        (finding.level, finding.mend.as_deref()),
        (Level::Problem, None)
    );
    assert!(finding.sentence.contains("cannot reach Google to sign in"));
}

#[test]
fn only_apis_are_mended_by_itself() {
    let mut facts = healthy();
    if let Some(cloud) = &mut facts.cloud {
        cloud.apis_off = Ok(vec!["run.googleapis.com".to_owned()]);
        cloud.permissions = Ok(BTreeSet::new());
    }
    let findings = examine(&facts);
    let enables: Vec<_> = findings.iter().flat_map(|it| &it.enables).collect();
    assert_eq!(enables, ["run.googleapis.com"]);
}
