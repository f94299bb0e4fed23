//! Preconditions: on generations (`ifGenerationMatch` and its kin) and, in reads, on etags.

use super::Object;
use crate::error::ApiError;
use crate::router::Request;

/// What must hold of the present object; an object that is not there has generation 0.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Conditions {
    generation: Option<i64>,
    generation_not: Option<i64>,
    metageneration: Option<i64>,
    metageneration_not: Option<i64>,
    /// `generation`: the call is about this generation only.
    only: Option<i64>,
}

impl Conditions {
    pub fn of(request: &Request) -> Result<Conditions, ApiError> {
        Ok(Conditions {
            generation: number(request, "ifGenerationMatch")?,
            generation_not: number(request, "ifGenerationNotMatch")?,
            metageneration: number(request, "ifMetagenerationMatch")?,
            metageneration_not: number(request, "ifMetagenerationNotMatch")?,
            only: number(request, "generation")?,
        })
    }

    /// The conditions on the source of a copy.
    pub fn of_source(request: &Request) -> Result<Conditions, ApiError> {
        Ok(Conditions {
            generation: number(request, "ifSourceGenerationMatch")?,
            generation_not: number(request, "ifSourceGenerationNotMatch")?,
            metageneration: number(request, "ifSourceMetagenerationMatch")?,
            metageneration_not: number(request, "ifSourceMetagenerationNotMatch")?,
            only: number(request, "sourceGeneration")?,
        })
    }

    pub fn generation(generation: Option<i64>, only: Option<i64>) -> Conditions {
        Conditions {
            generation,
            only,
            ..Conditions::default()
        }
    }

    /// The one generation the call is about.
    pub fn only(&self) -> Option<i64> {
        self.only
    }

    /// # Errors
    /// 404 for another generation than asked for, 412 for a condition that does not hold.
    pub fn check_write(&self, present: Option<&Object>) -> Result<(), ApiError> {
        self.check_only(present)?;
        match self.matches(present) && self.differs(present) {
            true => Ok(()),
            false => Err(not_met()),
        }
    }

    /// As for a write, but `…NotMatch` answers 304.
    pub fn check_read(&self, present: Option<&Object>) -> Result<(), ApiError> {
        self.check_only(present)?;
        if !self.matches(present) {
            return Err(not_met());
        }
        if !self.differs(present) {
            return Err(not_modified());
        }
        Ok(())
    }

    /// The same conditions on a bucket, which has only a metageneration.
    pub fn check_bucket(&self, metageneration: i64) -> Result<(), ApiError> {
        let met = self
            .metageneration
            .is_none_or(|sent| sent == metageneration)
            && self
                .metageneration_not
                .is_none_or(|sent| sent != metageneration);
        if met { Ok(()) } else { Err(not_met()) }
    }

    fn check_only(&self, present: Option<&Object>) -> Result<(), ApiError> {
        match (self.only, present) {
            (Some(only), Some(object)) if only != object.generation => Err(ApiError::not_found(
                format!("No such object: {}/{}#{only}", object.bucket, object.name),
            )),
            _ => Ok(()),
        }
    }

    fn matches(&self, present: Option<&Object>) -> bool {
        let (generation, metageneration) = numbers(present);
        self.generation.is_none_or(|sent| sent == generation)
            && self
                .metageneration
                .is_none_or(|sent| sent == metageneration)
    }

    fn differs(&self, present: Option<&Object>) -> bool {
        let (generation, metageneration) = numbers(present);
        self.generation_not.is_none_or(|sent| sent != generation)
            && self
                .metageneration_not
                .is_none_or(|sent| sent != metageneration)
    }
}

/// `If-Match` and `If-None-Match`, as HTTP has them; Google's clients send etags without quotes.
///
/// # Errors
/// 412 for another etag than asked for, 304 for one the caller has.
pub fn check_etag(request: &Request, etag: &str) -> Result<(), ApiError> {
    let names = |header: &str| {
        let sent = request.header(header)?;
        let mut tags = sent.split(',').map(|tag| tag.trim().trim_matches('"'));
        Some(tags.any(|tag| tag == "*" || tag == etag))
    };
    if names("if-match") == Some(false) {
        return Err(not_met());
    }
    match names("if-none-match") {
        Some(true) => Err(not_modified()),
        _ => Ok(()),
    }
}

fn numbers(present: Option<&Object>) -> (i64, i64) {
    present.map_or((0, 0), |object| (object.generation, object.metageneration))
}

fn number(request: &Request, name: &str) -> Result<Option<i64>, ApiError> {
    match request.query(name) {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| ApiError::invalid(format!("Invalid long value for {name}: '{text}'"))),
    }
}

fn not_modified() -> ApiError {
    ApiError {
        code: 304,
        ..not_met()
    }
}

fn not_met() -> ApiError {
    ApiError::condition_not_met("At least one of the pre-conditions you specified did not hold.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(generation: i64) -> Object {
        Object {
            generation,
            metageneration: 1,
            ..Object::default()
        }
    }

    #[test]
    fn zero_means_that_there_is_no_object() {
        let create_only = Conditions::generation(Some(0), None);
        assert!(create_only.check_write(None).is_ok());
        assert_eq!(
            create_only.check_write(Some(&object(7))).unwrap_err().code,
            412
        );
    }

    #[test]
    fn compare_and_swap_needs_the_generation() {
        let swap = Conditions::generation(Some(7), None);
        assert!(swap.check_write(Some(&object(7))).is_ok());
        assert_eq!(swap.check_write(Some(&object(8))).unwrap_err().code, 412);
        assert_eq!(swap.check_write(None).unwrap_err().code, 412);
    }

    #[test]
    fn an_unchanged_object_is_not_sent_again() {
        let changed = Conditions {
            generation_not: Some(7),
            ..Conditions::default()
        };
        assert_eq!(changed.check_read(Some(&object(7))).unwrap_err().code, 304);
        assert!(changed.check_read(Some(&object(8))).is_ok());
        assert_eq!(changed.check_write(Some(&object(7))).unwrap_err().code, 412);
    }
}
