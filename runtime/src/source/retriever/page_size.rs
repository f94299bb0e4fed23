//! Smaller pages where a source says that a page is too much for it.
//!
//! Decides the size and the wait before the same page is asked for again; asking is the retriever's.

use std::time::Duration;

use serde_json::Value as Json;

use crate::source::component::Component;
use crate::stream::SourceError;

/// How far pages may shrink.
#[derive(Debug, Clone)]
pub struct Shrinking {
    factor: f64,
    least: i64,
    most_attempts: u32,
    seconds: f64,
    retries_at_least: u32,
    restores: bool,
    advice: String,
}

/// The size in effect while a slice is read.
#[derive(Debug, Default)]
pub struct Size {
    pub now: Option<i64>,
    attempts: u32,
    retries: u32,
}

impl Shrinking {
    pub fn open(component: &Component<'_>) -> Result<Shrinking, SourceError> {
        let number = |name: &str, default: f64| {
            let value = component.field(name).and_then(Json::as_f64);
            value.unwrap_or(default)
        };
        let shrinking = Shrinking {
            factor: number("reduction_factor", 2.0),
            least: number("minimum_page_size", 1.0) as i64,
            most_attempts: number("max_attempts", 5.0) as u32,
            seconds: number("backoff_seconds", 0.5),
            retries_at_least: number("retries_at_minimum_page_size", 0.0) as u32,
            restores: component.text("reset_policy") == Some("AFTER_SUCCESSFUL_PAGE"),
            advice: component
                .text("failure_message")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        };
        if shrinking.factor <= 1.0 || shrinking.least < 1 || shrinking.most_attempts < 1 {
            return Err(component.error(
                "`reduction_factor` must be over 1, `minimum_page_size` and `max_attempts` at least 1",
            ));
        }
        Ok(shrinking)
    }

    /// Shrinks the page, or says why it cannot; `configured` is the manifest's size.
    pub fn shrink(&self, size: &mut Size, configured: Option<i64>) -> Result<Duration, String> {
        let Some(configured) = configured else {
            return Err("the paginator has no `page_size` to reduce".to_owned());
        };
        let current = size.now.unwrap_or(configured);
        let smaller = ((current as f64 / self.factor).floor() as i64).max(self.least);
        if smaller >= current {
            return self.again(size, current);
        }
        size.attempts += 1;
        if size.attempts > self.most_attempts {
            return Err(self.advised(format!(
                "the source refuses pages of every size, down to {current} records"
            )));
        }
        size.now = Some(smaller);
        Ok(self.wait(size.attempts))
    }

    /// The smallest page once more.
    fn again(&self, size: &mut Size, current: i64) -> Result<Duration, String> {
        if size.retries < self.retries_at_least {
            size.retries += 1;
            return Ok(self.wait(size.retries));
        }
        Err(self.advised(format!(
            "the source refuses even pages of {current} records, the smallest allowed"
        )))
    }

    fn wait(&self, attempts: u32) -> Duration {
        Duration::try_from_secs_f64(self.seconds * f64::from(attempts)).unwrap_or_default()
    }

    fn advised(&self, problem: String) -> String {
        match self.advice.as_str() {
            "" => problem,
            advice => format!("{problem}. {advice}"),
        }
    }

    /// A page came through.
    pub fn succeeded(&self, size: &mut Size) {
        (size.attempts, size.retries) = (0, 0);
        if self.restores {
            size.now = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shrinking(extra: Json) -> Shrinking {
        let mut json = json!({"type": "PageSizeReduction", "backoff_seconds": 1});
        json.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        Shrinking::open(&Component::new(&json, "here")).unwrap()
    }

    #[test]
    fn pages_shrink_to_the_least_and_no_further() {
        let shrinking = shrinking(json!({"minimum_page_size": 2, "failure_message": "Ask less."}));
        let mut size = Size::default();
        let mut sizes = Vec::new();
        while shrinking.shrink(&mut size, Some(10)).is_ok() {
            sizes.push(size.now.unwrap());
        }
        assert_eq!(sizes, [5, 2]);
        let problem = shrinking.shrink(&mut size, Some(10)).unwrap_err();
        assert!(problem.ends_with("Ask less."), "{problem}");
    }

    #[test]
    fn a_page_that_comes_through_starts_the_count_anew() {
        let shrinking =
            shrinking(json!({"max_attempts": 1, "reset_policy": "AFTER_SUCCESSFUL_PAGE"}));
        let mut size = Size::default();
        let second = Duration::from_secs(1);
        assert_eq!(shrinking.shrink(&mut size, Some(8)), Ok(second));
        shrinking.succeeded(&mut size);
        assert_eq!(size.now, None);
        assert_eq!(shrinking.shrink(&mut size, Some(8)), Ok(second));
        assert!(shrinking.shrink(&mut size, Some(8)).is_err());
    }
}
