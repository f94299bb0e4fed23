//! Where Google's services are, as far as is generally known in November 2026: it was not read
//! off Google's location pages. A region that is missing is taken, and the plan says that it is not known.

use std::collections::BTreeSet;

use super::error::nearest;
use super::{Client, ConfigError};

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

/// The words that regions' names are made of, before their number.
const WORDS: [&str; 16] = [
    "africa",
    "asia",
    "australia",
    "central",
    "east",
    "europe",
    "me",
    "north",
    "northamerica",
    "northeast",
    "south",
    "southamerica",
    "southeast",
    "southwest",
    "us",
    "west",
];

/// Where jobs and schedules can be: a region that is known, or one that may be new.
pub(super) fn check_region(at: &str, region: &str) -> Result<(), ConfigError> {
    if REGIONS.contains(&region) || may_be_new(region) {
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

/// Whether a name has a region's form, and no word that looks like a known one misspelt.
///
/// The number alone says nothing: `europe-west15` is as near to `europe-west12` as a slip would be.
fn may_be_new(region: &str) -> bool {
    let words = region.trim_end_matches(|last: char| last.is_ascii_digit());
    let Some((area, place)) = words.split_once('-').filter(|_| words != region) else {
        return false;
    };
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
    let is_slip = |word: &str| {
        // In a word of two letters one slip is half of it.
        let most = if word.len() < 4 { 1 } else { 2 };
        let mut near = WORDS
            .iter()
            .map(|known| strsim::damerau_levenshtein(word, known));
        !WORDS.contains(&word) && near.any(|distance| distance <= most)
    };
    [area, place]
        .into_iter()
        .all(|word| is_word(word) && !is_slip(word))
}

/// A sentence for each place of a client that xetl does not know.
pub fn unknown_places(client: &Client) -> Vec<String> {
    let settings = &client.settings;
    let mut places = BTreeSet::from([client.region.to_lowercase()]);
    places.extend(
        settings
            .bucket
            .location
            .as_ref()
            .map(|it| it.to_lowercase()),
    );
    places.extend(settings.secret_locations.iter().cloned());
    let warehouses = client.pipelines.iter().map(|it| &it.warehouse);
    let datasets = warehouses.filter_map(|it| it.location.as_ref());
    places.extend(datasets.map(|it| it.to_lowercase()));
    places.retain(|place| !is_known(place));
    let told = places.into_iter().map(|place| {
        format!(
            "xetl does not know the region `{place}`: whether Google has it, and Cloud Run, Cloud \
             Scheduler and BigQuery in it, shows when the plan is applied"
        )
    });
    told.collect()
}

fn is_known(place: &str) -> bool {
    REGIONS.contains(&place) || MULTI_REGIONS.iter().any(|(name, _)| *name == place)
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

/// BigQuery loads from a bucket in the same place, or from a region of the dataset's multi-region;
/// which one a region belongs to that is not known is not known either.
pub(super) fn check_pair(at: &str, bucket: &str, dataset: &str) -> Result<(), ConfigError> {
    let (bucket, dataset) = (bucket.to_lowercase(), dataset.to_lowercase());
    let inside = MULTI_REGIONS.iter().any(|(name, begin)| {
        dataset == *name
            && bucket.starts_with(begin)
            && is_known(&bucket)
            && !NOT_EU.contains(&bucket.as_str())
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
    fn a_region_that_may_be_new_is_taken_and_a_misspelt_one_is_not() {
        for new in [
            "europe-west15",
            "us-north1",
            "me-south2",
            "antarctica-central1",
        ] {
            assert!(check_region("region", new).is_ok(), "{new}");
        }
        for slip in [
            "europe-wst2",
            "eurpoe-west2",
            "us-centrall1",
            "uss-east1",
            "asia-souhteast1",
            "europe-west",
            "europe-2",
            "Europe-west2",
            "eu-west-1",
        ] {
            assert!(check_region("region", slip).is_err(), "{slip}");
        }
    }

    #[test]
    fn a_dataset_loads_from_where_it_is() {
        assert!(check_pair("d", "us-east1", "US").is_ok());
        assert!(check_pair("d", "EU", "eu").is_ok());
        assert!(check_pair("d", "europe-west15", "europe-west15").is_ok());
        for (bucket, dataset) in [
            ("us-east1", "eu"),
            ("europe-west2", "EU"),
            ("eu", "europe-west1"),
            ("europe-west15", "eu"),
        ] {
            check_pair("d", bucket, dataset).unwrap_err();
        }
    }
}
