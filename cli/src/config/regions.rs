//! Where Google's services are, as far as is generally known in November 2026: it was not read
//! off Google's location pages. A region that is missing is added here.

use super::ConfigError;
use super::error::nearest;

/// Regions that have Cloud Run, Cloud Scheduler, BigQuery, Storage and Artifact Registry.
const REGIONS: [&str; 42] = [
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west10",
    "europe-west12",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "northamerica-south1",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
];
/// Multi-regions, with the beginning of the regions they are made of.
const MULTI_REGIONS: [(&str, &str); 3] = [("us", "us-"), ("eu", "europe-"), ("asia", "asia-")];
/// In the `europe-` regions, but not in the `EU`.
const NOT_EU: [&str; 2] = ["europe-west2", "europe-west6"];

/// Where jobs and schedules can be.
pub(super) fn check_region(at: &str, region: &str) -> Result<(), ConfigError> {
    if REGIONS.contains(&region) {
        return Ok(());
    }
    let multi = MULTI_REGIONS
        .iter()
        .any(|(name, _)| region.eq_ignore_ascii_case(name));
    let hint = match nearest(region, REGIONS.iter().copied()) {
        _ if multi => {
            "jobs run in one region; a bucket or dataset can be there, by its own `location`"
                .to_owned()
        }
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "such as `europe-west1`; `gcloud run regions list` names all".to_owned(),
    };
    Err(ConfigError::Invalid {
        at: at.to_owned(),
        problem: format!("`{region}` is no region of Google Cloud that xetl knows"),
        hint: Some(hint),
    })
}

/// Where a bucket or a dataset can be.
pub(super) fn check_location(at: &str, location: &str) -> Result<(), ConfigError> {
    match MULTI_REGIONS
        .iter()
        .any(|(name, _)| location.eq_ignore_ascii_case(name))
    {
        true => Ok(()),
        false => check_region(at, &location.to_lowercase()),
    }
}

/// BigQuery loads from a bucket in the same place, or from a region of the dataset's multi-region.
pub(super) fn check_pair(at: &str, bucket: &str, dataset: &str) -> Result<(), ConfigError> {
    let (bucket, dataset) = (bucket.to_lowercase(), dataset.to_lowercase());
    let inside = MULTI_REGIONS.iter().any(|(name, begin)| {
        dataset == *name && bucket.starts_with(begin) && !NOT_EU.contains(&bucket.as_str())
    });
    if dataset == "asia" {
        return Err(ConfigError::invalid(
            at,
            "BigQuery has no multi-region `asia`",
        ));
    }
    if bucket == dataset || inside {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        at: at.to_owned(),
        problem: format!("BigQuery in `{dataset}` cannot load from a bucket in `{bucket}`"),
        hint: Some("give `bucket` and `warehouse` the same `location`".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(region: &str) -> String {
        check_region("region", region).unwrap_err().hint().unwrap()
    }

    #[test]
    fn a_region_is_known_or_the_nearest_is_named() {
        assert!(check_region("region", "australia-southeast1").is_ok());
        assert_eq!(hint("europe-wst2"), "did you mean `europe-west2`?");
        assert!(hint("EU").contains("one region"));
        assert!(hint("moon").contains("gcloud"));
    }

    #[test]
    fn a_dataset_loads_from_where_it_is() {
        assert!(check_pair("d", "us-east1", "US").is_ok());
        assert!(check_pair("d", "EU", "eu").is_ok());
        for (bucket, dataset) in [
            ("us-east1", "eu"),
            ("europe-west2", "EU"),
            ("eu", "europe-west1"),
        ] {
            check_pair("d", bucket, dataset).unwrap_err();
        }
    }
}
