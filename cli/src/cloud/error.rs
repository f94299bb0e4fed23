//! What Google answers when it does not do what was asked, by meaning.

use std::time::Duration;

use google_cloud_gax::error::Error as GaxError;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use serde_json::Value;

use super::credentials;
use crate::failure::{chain, root};

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    #[error("cannot reach {endpoint}: {problem}")]
    Unreachable { endpoint: String, problem: String },
    #[error("no Google credentials that work: {problem}")]
    Credentials { problem: String },
    #[error("{what}: {message}")]
    NotFound { what: String, message: String },
    #[error("{what}: {message}")]
    AlreadyExists { what: String, message: String },
    /// What had the name is deleted, and the name is not free yet.
    #[error("{what}: the name is not free yet: {message}")]
    Leaving { what: String, message: String },
    /// Somebody else changed it between our reading and our writing.
    #[error("{what}: {message}")]
    Conflict { what: String, message: String },
    #[error("{what}: {api} is not enabled in the project: {message}")]
    Disabled {
        what: String,
        api: String,
        message: String,
    },
    #[error("{what}: {message}")]
    Denied { what: String, message: String },
    #[error("{what}: Google answered {status}: {message}")]
    Refused {
        what: String,
        status: u16,
        message: String,
    },
    #[error("{what}: {problem}")]
    Unusable { what: String, problem: String },
}

/// A refusal that passes by itself, as Google's parts learn of each other only by and by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub why: &'static str,
    /// How long it may take before it is no lag any more.
    pub longest: Duration,
}

const API_LAG: Lag = Lag {
    why: "the API was just enabled",
    longest: Duration::from_secs(180),
};
const ACTIVATION_LAG: Lag = Lag {
    why: "somebody else is enabling or disabling APIs of the project",
    longest: Duration::from_secs(180),
};
const ACCOUNT_LAG: Lag = Lag {
    why: "a new service account is not known everywhere yet",
    longest: Duration::from_secs(180),
};
const GRANT_LAG: Lag = Lag {
    why: "a grant takes minutes to work everywhere",
    longest: Duration::from_secs(600),
};
const METRIC_LAG: Lag = Lag {
    why: "Monitoring learns of a new metric after minutes",
    longest: Duration::from_secs(900),
};
const DELETION_LAG: Lag = Lag {
    why: "the old one of that name is still being deleted",
    longest: Duration::from_secs(120),
};

impl CloudError {
    /// The error of a call that did `what` ("bucket acme").
    pub(super) fn of(what: &str, endpoint: Option<&str>, error: GaxError) -> CloudError {
        let what = what.to_owned();
        if error.is_authentication() {
            return credentials::failed(&error);
        }
        if let Some(status) = error.status() {
            let message = status.message.clone();
            let reason = disabled_api(&status.details);
            let http = error.http_status_code().unwrap_or(0);
            return by_status(what, code(status.code, http), http, reason, message);
        }
        if let Some(status) = error.http_status_code() {
            let body = error.http_payload().map(|bytes| bytes.as_ref());
            return CloudError::of_response(what, status, body.unwrap_or_default());
        }
        if error.is_io() || error.is_connect() || error.is_transport() || error.is_timeout() {
            return CloudError::Unreachable {
                endpoint: endpoint.unwrap_or("Google").to_owned(),
                problem: root(&error),
            };
        }
        CloudError::Unusable {
            what,
            problem: chain(&error),
        }
    }

    /// The error of a reply with Google's error JSON, or some other body.
    pub(super) fn of_response(what: String, status: u16, body: &[u8]) -> CloudError {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &json["error"];
        let message = match error["message"].as_str() {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(body).chars().take(300).collect(),
        };
        let name = error["status"].as_str();
        let named = name.and_then(|name| Code::try_from(name).ok());
        let code = code(named.unwrap_or(Code::Unknown), status);
        let reason = error["details"].as_array().and_then(|details| {
            let info = details.iter().find(|d| d["reason"] == "SERVICE_DISABLED")?;
            Some(
                info["metadata"]["service"]
                    .as_str()
                    .unwrap_or("an API")
                    .to_owned(),
            )
        });
        by_status(what, code, status, reason, message)
    }

    /// Whether the thing is not there, or cannot be as its API is off.
    pub fn is_absent(&self) -> bool {
        matches!(
            self,
            CloudError::NotFound { .. } | CloudError::Disabled { .. }
        )
    }

    /// What was said where the project may be why: that it is not there, or not the caller's.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            CloudError::Denied { message, .. }
            | CloudError::NotFound { message, .. }
            | CloudError::Refused {
                status: 400,
                message,
                ..
            } => Some(message),
            _ => None,
        }
    }

    /// A name is taken by what is not there: it was deleted, and is not gone yet.
    pub(super) fn leaving(self) -> CloudError {
        match self {
            CloudError::AlreadyExists { what, message } => CloudError::Leaving { what, message },
            other => other,
        }
    }

    pub fn is_conflict(&self) -> bool {
        matches!(self, CloudError::Conflict { .. })
    }

    pub fn already_exists(&self) -> bool {
        matches!(self, CloudError::AlreadyExists { .. })
    }

    /// Whether waiting may help, and why.
    pub fn lag(&self) -> Option<Lag> {
        let message = self.to_string().to_lowercase();
        match self {
            CloudError::Disabled { .. } => Some(API_LAG),
            CloudError::Refused { status: 400, .. } | CloudError::NotFound { .. }
                if message.contains("service account") && message.contains("not exist") =>
            {
                Some(ACCOUNT_LAG)
            }
            CloudError::Denied { .. } | CloudError::Refused { status: 400, .. }
                if message.contains("secret")
                    && message.contains("permission")
                    // A key is no grant of ours; nobody is giving it.
                    && !message.contains("cloudkms.") =>
            {
                Some(GRANT_LAG)
            }
            CloudError::Refused { status: 400, .. }
                if message.contains("another activation or deactivation") =>
            {
                Some(ACTIVATION_LAG)
            }
            CloudError::NotFound { .. } if message.contains("cannot find metric") => {
                Some(METRIC_LAG)
            }
            CloudError::Leaving { .. } => Some(DELETION_LAG),
            CloudError::AlreadyExists { .. } if message.contains("delet") => Some(DELETION_LAG),
            _ => None,
        }
    }
}

/// The code, which Storage and BigQuery only say in HTTP.
fn code(code: Code, http: u16) -> Code {
    match (code, http) {
        (Code::Unknown | Code::Ok, 404) => Code::NotFound,
        (Code::Unknown | Code::Ok, 409) => Code::AlreadyExists,
        (Code::Unknown | Code::Ok | Code::FailedPrecondition, 412) => Code::Aborted,
        (Code::Unknown | Code::Ok, 403) => Code::PermissionDenied,
        (Code::Unknown | Code::Ok, 401) => Code::Unauthenticated,
        (code, _) => code,
    }
}

fn by_status(
    what: String,
    code: Code,
    status: u16,
    disabled: Option<String>,
    message: String,
) -> CloudError {
    if let Some(api) = disabled {
        return CloudError::Disabled { what, api, message };
    }
    match code {
        Code::NotFound => CloudError::NotFound { what, message },
        Code::AlreadyExists => CloudError::AlreadyExists { what, message },
        Code::Aborted => CloudError::Conflict { what, message },
        Code::PermissionDenied => CloudError::Denied { what, message },
        Code::Unauthenticated => CloudError::Credentials { problem: message },
        code => CloudError::Refused {
            status: http_status(code, status),
            what,
            message,
        },
    }
}

/// What gRPC codes are in HTTP, where an operation failed and no HTTP status says it.
fn http_status(code: Code, status: u16) -> u16 {
    match (status, code) {
        (400.., _) => status,
        (_, Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange) => 400,
        (_, Code::ResourceExhausted) => 429,
        (_, Code::Unimplemented) => 501,
        (_, Code::Unavailable) => 503,
        _ => 500,
    }
}

fn disabled_api(details: &[StatusDetails]) -> Option<String> {
    details.iter().find_map(|detail| match detail {
        StatusDetails::ErrorInfo(info) if info.reason == "SERVICE_DISABLED" => {
            let service = info.metadata.get("service");
            Some(service.cloned().unwrap_or_else(|| "an API".to_owned()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn response(status: u16, body: &Value) -> CloudError {
        CloudError::of_response("bucket b".to_owned(), status, body.to_string().as_bytes())
    }

    #[test]
    fn an_answer_is_told_by_its_meaning() {
        let body = json!({"error": {"code": 404, "message": "no such bucket"}});
        assert!(response(404, &body).is_absent());
        assert!(response(412, &body).is_conflict());
        assert!(response(409, &body).already_exists());
        let aborted = json!({"error": {"code": 409, "status": "ABORTED", "message": "etag"}});
        assert!(response(409, &aborted).is_conflict());
    }

    #[test]
    fn a_disabled_api_is_named_and_waited_for() {
        let body = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "off",
            "details": [{"reason": "SERVICE_DISABLED", "metadata": {"service": "run.googleapis.com"}}]}});
        let error = response(403, &body);
        assert_eq!(
            error.to_string(),
            "bucket b: run.googleapis.com is not enabled in the project: off"
        );
        assert_eq!(error.lag(), Some(API_LAG));
    }

    #[test]
    fn a_plain_refusal_is_no_lag() {
        let body = json!({"error": {"code": 403, "message": "you may not"}});
        assert_eq!(response(403, &body).lag(), None);
    }
}
