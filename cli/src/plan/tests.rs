use super::*;
use crate::resource::{Bucket, Dataset, Holder, Member, Owner, Secret, ServiceAccount};
use proptest::prelude::*;

fn bucket(location: &str) -> Resource {
    Resource::from(Bucket {
        location: location.to_owned(),
        owner: Owner::client("acme"),
        ..Bucket::default()
    })
}

fn secret(client: &str) -> Resource {
    Resource::from(Secret {
        owner: Owner::client(client),
        ..Secret::default()
    })
}

fn account() -> Resource {
    Resource::from(ServiceAccount {
        owner: Owner::client("acme"),
    })
}

fn one(address: Address, resource: Resource) -> Resources {
    Resources::from([(address, resource)])
}

/// Any few resources: names are few, so that both sides often have the same.
fn resources() -> impl Strategy<Value = Resources> {
    let resource = ("[a-c]", 0..6u8, "[xy]").prop_map(|(name, kind, value)| match kind {
        0 => (Address::new(Kind::Api, name), Resource::Api),
        1 => (
            Address::new(Kind::ServiceAccount, name),
            Resource::from(ServiceAccount {
                owner: Owner::pipeline("acme", &value),
            }),
        ),
        2 => (Address::new(Kind::Bucket, name), bucket("r")),
        3 => (
            Address::new(Kind::Secret, name),
            Resource::from(Secret {
                owner: Owner::pipeline("acme", &value),
                ..Secret::default()
            }),
        ),
        4 => (
            Address::new(Kind::Dataset, name),
            Resource::from(Dataset {
                location: "r".to_owned(),
                owner: Owner::pipeline("acme", &value),
                ..Dataset::default()
            }),
        ),
        _ => {
            let member = Member {
                on: Holder::Bucket(name),
                role: "r".to_owned(),
                account: value,
            };
            (member.address(), Resource::Member(member))
        }
    });
    prop::collection::vec(resource, 0..8).prop_map(|pairs| pairs.into_iter().collect())
}

/// What a cloud that does every step would have.
fn carried_out(actual: &Resources, plan: &Plan) -> Resources {
    let mut actual = actual.clone();
    for step in &plan.steps {
        match &step.change {
            Change::Create { after }
            | Change::Update { after, .. }
            | Change::Replace { after, .. } => {
                actual.insert(step.address.clone(), after.clone());
            }
            Change::Delete { .. } => {
                actual.remove(&step.address);
            }
            Change::Keep { .. } | Change::Refuse { .. } => {}
        }
    }
    actual
}

proptest! {
    #[test]
    fn nothing_is_planned_for_what_is_there(resources in resources()) {
        prop_assert!(Plan::between(&resources, &resources).is_empty());
    }

    #[test]
    fn carrying_a_plan_out_leaves_nothing_to_plan(actual in resources(), desired in resources()) {
        let plan = Plan::between(&actual, &desired);
        let actual = carried_out(&actual, &plan);
        prop_assert!(Plan::between(&actual, &desired).is_empty());
        for (address, resource) in &desired {
            prop_assert_eq!(actual.get(address), Some(resource));
        }
    }

    #[test]
    fn kinds_are_made_in_order_and_deleted_backwards(actual in resources(), desired in resources()) {
        let plan = Plan::between(&actual, &desired);
        let (deletes, makes): (Vec<_>, Vec<_>) = plan.steps.iter().partition(|step| step.deletes());
        prop_assert!(makes.is_sorted_by_key(|step| step.address.kind));
        prop_assert!(deletes.iter().rev().is_sorted_by_key(|step| step.address.kind));
    }
}

#[test]
fn a_bucket_in_another_place_is_refused() {
    let address = Address::new(Kind::Bucket, "b");
    let plan = Plan::between(
        &one(address.clone(), bucket("r1")),
        &one(address, bucket("r2")),
    );
    assert_eq!(plan.refused().count(), 1);
}

#[test]
fn an_empty_bucket_in_another_place_is_made_anew_with_the_rights_on_it() {
    let address = Address::new(Kind::Bucket, "b");
    let member = Member {
        on: Holder::Bucket("b".to_owned()),
        role: "r".to_owned(),
        account: "a".to_owned(),
    };
    let at = |location: &str| {
        let mut all = one(address.clone(), bucket(location));
        all.insert(member.address(), member.clone().into());
        all
    };
    assert_eq!(fixed(&at("r1"), &at("r2")), std::slice::from_ref(&address));
    let plan = Plan::knowing(&at("r1"), &at("r2"), &BTreeSet::from([address.clone()]));
    let summary = plan.summary();
    assert_eq!((summary.replace, summary.create), (1, 1));
    assert_eq!(plan.steps[0].field_changes()[0].field, "location");
    assert!(carried_out(&at("r1"), &plan) == at("r2"));
}

#[test]
fn a_resource_of_another_client_is_refused() {
    let address = Address::new(Kind::Secret, "s");
    let plan = Plan::between(
        &one(address.clone(), secret("globex")),
        &one(address, secret("acme")),
    );
    let (_, reason) = plan.refused().next().unwrap();
    assert_eq!(reason.to_string(), "it belongs to client `globex`");
}

#[test]
fn destroying_keeps_what_holds_data_and_the_apis() {
    let mut actual = one(Address::new(Kind::Bucket, "b"), bucket("r"));
    actual.insert(Address::new(Kind::Secret, "s"), secret("acme"));
    actual.insert(Address::new(Kind::Api, "run"), Resource::Api);
    let plan = Plan::destroy(&actual, &BTreeSet::from([Address::new(Kind::Bucket, "b")]));
    let summary = plan.summary();
    assert_eq!((summary.delete, summary.keep), (1, 1));
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn what_may_hold_data_and_is_declared_no_more_is_looked_into() {
    let mut actual = one(Address::new(Kind::Secret, "gone"), secret("acme"));
    actual.insert(Address::new(Kind::Secret, "stays"), secret("acme"));
    actual.insert(Address::new(Kind::ServiceAccount, "gone"), account());
    let declared = one(Address::new(Kind::Secret, "stays"), secret("acme"));
    assert_eq!(
        given_up(&actual, &declared),
        [Address::new(Kind::Secret, "gone")]
    );
}

#[test]
fn an_update_tells_what_changes() {
    let address = Address::new(Kind::Secret, "s");
    let before = Resource::from(Secret::default());
    let plan = Plan::between(&one(address.clone(), before), &one(address, secret("acme")));
    let change = FieldChange {
        field: "xetl-client".to_owned(),
        before: None,
        after: Some("acme".to_owned()),
    };
    assert_eq!(plan.steps[0].field_changes(), [change]);
}
