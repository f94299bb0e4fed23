//! The frames of an id in an interval: the same whenever they are asked for.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::common::draw::Draw;

/// An interval is no longer than this.
const LONGEST: i64 = 15 * 60;
/// An id has this many frames in an interval at most; often it has none.
const MOST_FRAMES: u64 = 3;

/// From a second on, up to and without another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    from: i64,
    to: i64,
}

impl Span {
    pub fn read(from: &str, to: &str) -> Result<Span, String> {
        let second = |text: &str| {
            let moment: Result<Timestamp, _> = text.parse();
            moment
                .map(Timestamp::as_second)
                .map_err(|_| format!("`{text}` is no moment such as 2024-01-01T00:15:00Z"))
        };
        let span = Span {
            from: second(from)?,
            to: second(to)?,
        };
        match span.from < span.to {
            true => Ok(span),
            false => Err("`from` is not before `to`".to_owned()),
        }
    }

    /// This in intervals as they are asked for.
    pub fn steps(self) -> Vec<Span> {
        let starts = (self.from..self.to).step_by(LONGEST as usize);
        starts
            .map(|from| Span {
                from,
                to: (from + LONGEST).min(self.to),
            })
            .collect()
    }
}

/// How many frames an id has in an interval.
pub fn count(seed: u64, id: &str, span: Span) -> u64 {
    draw(seed, id, span).below(MOST_FRAMES + 1)
}

/// The frames of each id that has some.
pub fn groups(seed: u64, ids: &[Value], span: Span) -> Vec<Value> {
    let groups = ids.iter().filter_map(|id| {
        let text = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let frames = frames(seed, &text, span);
        (!frames.is_empty()).then(|| json!({"id": id, "frames": frames}))
    });
    groups.collect()
}

fn frames(seed: u64, id: &str, span: Span) -> Vec<Value> {
    let mut draw = draw(seed, id, span);
    let count = draw.below(MOST_FRAMES + 1) as i64;
    let length = span.to - span.from;
    let frames = (0..count).map(|number| {
        // Each in its own part of the interval, so that no two are of one moment.
        let second = span.from + number * length / MOST_FRAMES as i64;
        let time = Timestamp::from_second(second).unwrap_or_default();
        json!({"time": time.to_string(), "value": draw.between(0, 10_000)})
    });
    frames.collect()
}

fn draw(seed: u64, id: &str, span: Span) -> Draw {
    Draw::new(seed, id, &[span.from as u64, span.to as u64])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_an_interval_are_those_that_are_counted_and_stay() {
        let day = Span::read("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z").unwrap();
        let steps = day.steps();
        assert_eq!(steps.len(), 96);
        let ids = [json!("a"), json!("b")];
        for span in steps {
            let groups = groups(1, &ids, span);
            assert_eq!(groups, super::groups(1, &ids, span));
            let frames = |group: &Value| group["frames"].as_array().unwrap().len() as u64;
            let all: u64 = groups.iter().map(frames).sum();
            assert_eq!(all, count(1, "a", span) + count(1, "b", span));
        }
    }

    #[test]
    fn an_interval_that_is_none_is_refused() {
        assert!(Span::read("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z").is_err());
        assert!(Span::read("yesterday", "2024-01-01T00:00:00Z").is_err());
    }
}
