//! The `gs://` files that loads and external tables read.

use std::path::PathBuf;

use crate::cloud::Cloud;
use crate::error::ApiError;

/// One file, by its URI and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub uri: String,
    pub path: PathBuf,
    pub size: u64,
}

/// The objects of `uris`; a `*` stands for any rest of a name.
///
/// # Errors
/// A URI that matches nothing, or a bucket in another place than `location`.
pub fn resolve(cloud: &Cloud, uris: &[String], location: &str) -> Result<Vec<Object>, ApiError> {
    if uris.is_empty() {
        return Err(ApiError::invalid(
            "Required parameter is missing: sourceUris",
        ));
    }
    let mut objects = Vec::new();
    for uri in uris {
        let (bucket, pattern) = split(uri)?;
        check_location(cloud, bucket, location)?;
        let found = matching(cloud, bucket, pattern);
        if found.is_empty() {
            return Err(ApiError::not_found(format!("Not found: Uri {uri}")));
        }
        objects.extend(found);
    }
    Ok(objects)
}

pub fn split(uri: &str) -> Result<(&str, &str), ApiError> {
    let bad = || {
        ApiError::invalid(format!(
            "Source URI must be a Google Cloud Storage location: {uri}"
        ))
    };
    let (bucket, pattern) = uri
        .strip_prefix("gs://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(bad)?;
    if bucket.is_empty() || bucket.contains('*') || pattern.is_empty() {
        return Err(bad());
    }
    if pattern.matches('*').count() > 1 {
        return Err(ApiError::invalid(format!(
            "Invalid source URI {uri}: at most one wildcard is allowed"
        )));
    }
    Ok((bucket, pattern))
}

/// Whether `name` is what `pattern` (at most one `*`) stands for.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
    }
}

pub fn check_location(cloud: &Cloud, bucket: &str, location: &str) -> Result<(), ApiError> {
    let place = bucket_location(cloud, bucket)
        .ok_or_else(|| ApiError::not_found(format!("Not found: Bucket {bucket}")))?;
    if colocated(&place, location) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Cannot read and write in different locations: source: {place}, destination: {location}"
    )))
}

/// Same region, or a multi-region on either side that holds the other.
fn colocated(bucket: &str, dataset: &str) -> bool {
    let (bucket, dataset) = (bucket.to_lowercase(), dataset.to_lowercase());
    let holds = |multi: &str, region: &str| match multi {
        "us" => region.starts_with("us-") || region.starts_with("northamerica-"),
        "eu" => region.starts_with("europe-"),
        "asia" => region.starts_with("asia-"),
        _ => false,
    };
    // A dataset in the US reads buckets anywhere.
    bucket == dataset || dataset == "us" || holds(&bucket, &dataset) || holds(&dataset, &bucket)
}

fn bucket_location(cloud: &Cloud, bucket: &str) -> Option<String> {
    cloud.storage.bucket(bucket).map(|bucket| bucket.location)
}

fn matching(cloud: &Cloud, bucket: &str, pattern: &str) -> Vec<Object> {
    let head = pattern.split('*').next().unwrap_or(pattern);
    let found = match pattern.contains('*') {
        true => cloud.storage.list(bucket, head),
        false => cloud.storage.object(bucket, pattern).into_iter().collect(),
    };
    let fitting = found
        .into_iter()
        .filter(|object| fits(pattern, &object.name));
    let named = fitting.map(|object| Object {
        uri: format!("gs://{bucket}/{}", object.name),
        path: object.path,
        size: object.size,
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stands_for_the_rest_of_a_name() {
        assert!(fits("xero/run=1/*.parquet", "xero/run=1/part-0-0.parquet"));
        assert!(!fits("xero/run=1/*.parquet", "xero/run=2/part-0-0.parquet"));
        assert!(fits("a", "a") && !fits("a", "ab"));
        assert!(split("gs://b/*/x-*").is_err() && split("s3://b/x").is_err());
    }

    #[test]
    fn a_multi_region_holds_its_regions() {
        assert!(colocated("AUSTRALIA-SOUTHEAST1", "australia-southeast1"));
        assert!(colocated("EU", "europe-west1") && colocated("europe-west1", "EU"));
        assert!(
            !colocated("US", "australia-southeast1") && !colocated("australia-southeast1", "EU")
        );
    }
}
