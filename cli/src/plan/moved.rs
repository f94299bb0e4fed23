//! A client that has moved to another region: what it left behind is seen from there alone. Pure.

use crate::names::first_few;
use crate::resource::{Kind, Resource, Resources};

/// The region a client was in before, by where its bucket is; `None` where that is no other one.
pub fn former_region(read: &Resources, region: &str) -> Option<String> {
    let bucket = read.values().find_map(|resource| match resource {
        Resource::Bucket(bucket) => Some(bucket.location.to_lowercase()),
        _ => None,
    })?;
    // Multi-regions have no hyphen, and no jobs.
    (bucket.contains('-') && bucket != region.to_lowercase()).then_some(bucket)
}

/// A sentence about the jobs that `client` still has in the region it was in.
pub fn left_behind(client: &str, former: &str, there: &Resources) -> Option<String> {
    let is_ours = |resource: &Resource| {
        let owner = resource.owner().and_then(|owner| owner.client.as_deref());
        owner == Some(client)
    };
    let left = there
        .iter()
        .filter(|(address, resource)| address.kind == Kind::Job && is_ours(resource));
    let left: Vec<String> = left.map(|(address, _)| address.to_string()).collect();
    (!left.is_empty()).then(|| {
        format!(
            "client {client} was in {former} before and still has jobs there, which go on: {}",
            first_few(&left)
        )
    })
}

/// A sentence about a client whose jobs are in another project than its file says.
pub fn left_in_project(client: &str, former: &str) -> String {
    format!(
        "client {client} still has jobs in project {former}, whose schedules go on: put \
         `project: {former}` back, `xetl destroy --client {client}`, then move it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Address, Bucket, Job, Owner};

    fn bucket_in(location: &str) -> Resources {
        let bucket = Bucket {
            location: location.to_owned(),
            ..Bucket::default()
        };
        Resources::from([(Address::new(Kind::Bucket, "b"), bucket.into())])
    }

    #[test]
    fn where_a_client_was_is_told_by_its_bucket() {
        let former = |location| former_region(&bucket_in(location), "europe-west2");
        assert_eq!(former("europe-west1").as_deref(), Some("europe-west1"));
        assert_eq!(former("EUROPE-WEST2"), None);
        assert_eq!(former("eu"), None);
        assert_eq!(former_region(&Resources::new(), "europe-west2"), None);
    }

    #[test]
    fn what_it_left_there_is_named_and_what_others_have_is_not() {
        let job = |client: &str| {
            let owner = Owner::pipeline(client, "xero");
            let job = Job {
                owner,
                ..Job::default()
            };
            let address = Address::new(Kind::Job, format!("{client}-xero"));
            Resources::from([(address, job.into())])
        };
        let told = left_behind("acme", "europe-west1", &job("acme")).unwrap();
        insta::assert_snapshot!(told, @"client acme was in europe-west1 before and still has jobs there, which go on: job acme-xero");
        assert_eq!(left_behind("acme", "europe-west1", &job("globex")), None);
    }
}
