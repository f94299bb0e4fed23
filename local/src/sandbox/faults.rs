//! Faults on request: the next calls of a path are answered with an error.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A path's beginning, such as `/api.xro/2.0/Invoices` or `/connect/token`.
    pub path: String,
    pub status: u16,
    /// How many calls fail.
    #[serde(default = "once")]
    pub times: u32,
    /// Seconds for the `Retry-After` header, which may be a fraction.
    #[serde(default)]
    pub retry_after: Option<f64>,
    /// Kind of limit a 429 names in `X-Rate-Limit-Problem`.
    #[serde(default)]
    pub problem: Option<String>,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The fault a call of `path` meets, counted down by this call.
    pub fn next(&mut self, path: &str) -> Option<Fault> {
        let found = self
            .0
            .iter()
            .position(|fault| fault.times > 0 && path.starts_with(&fault.path))?;
        let fault = &mut self.0[found];
        fault.times -= 1;
        let met = fault.clone();
        self.0.retain(|fault| fault.times > 0);
        Some(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_ends_after_its_times() {
        let mut faults = Faults::default();
        faults.add(serde_json::from_str(r#"{"path": "/a", "status": 503, "times": 2}"#).unwrap());
        assert!(faults.next("/b").is_none());
        assert_eq!(faults.next("/a/1").map(|fault| fault.status), Some(503));
        assert!(faults.next("/a").is_some());
        assert!(faults.next("/a").is_none());
    }
}
