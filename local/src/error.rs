//! Google's error JSON: `{"error": {"code", "status", "message", "details"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error as Google's JSON APIs answer it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{status}: {message}")]
pub struct ApiError {
    pub code: u16,
    /// Name of the `google.rpc.Code`, such as `NOT_FOUND`.
    pub status: &'static str,
    pub message: String,
    /// `errors[0].reason` of the older shape, which Storage and BigQuery clients read.
    pub reason: &'static str,
    pub details: Vec<Value>,
}

impl ApiError {
    fn new(
        code: u16,
        status: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            code,
            status,
            message: message.into(),
            reason,
            details: Vec::new(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "INVALID_ARGUMENT", "invalid", message)
    }

    pub fn failed_precondition(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "FAILED_PRECONDITION", "failedPrecondition", message)
    }

    pub fn unauthenticated(message: impl Into<String>) -> ApiError {
        ApiError::new(401, "UNAUTHENTICATED", "authError", message)
    }

    pub fn permission_denied(message: impl Into<String>) -> ApiError {
        ApiError::new(403, "PERMISSION_DENIED", "forbidden", message)
    }

    pub fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::new(404, "NOT_FOUND", "notFound", message)
    }

    pub fn already_exists(message: impl Into<String>) -> ApiError {
        ApiError::new(409, "ALREADY_EXISTS", "duplicate", message)
    }

    /// A lost race on an etag (gRPC `ABORTED`).
    pub fn aborted(message: impl Into<String>) -> ApiError {
        ApiError::new(409, "ABORTED", "conflict", message)
    }

    /// A Storage or BigQuery precondition (`ifGenerationMatch`, `If-Match`) that does not hold.
    pub fn condition_not_met(message: impl Into<String>) -> ApiError {
        ApiError::new(412, "FAILED_PRECONDITION", "conditionNotMet", message)
    }

    /// A quota is spent.
    pub fn resource_exhausted(message: impl Into<String>) -> ApiError {
        ApiError::new(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", message)
    }

    pub fn unimplemented(message: impl Into<String>) -> ApiError {
        ApiError::new(501, "UNIMPLEMENTED", "notImplemented", message)
    }

    /// A path nobody here serves. Google has 404 for it, which a caller may take for a resource
    /// that is not there, and gcloud sends again after 501 for half a minute; 405 it is.
    pub fn unserved(message: impl Into<String>) -> ApiError {
        ApiError::new(405, "UNIMPLEMENTED", "notImplemented", message)
    }

    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(500, "INTERNAL", "internalError", message)
    }

    /// The same error with another `errors[0].reason`.
    pub fn reason(self, reason: &'static str) -> ApiError {
        ApiError { reason, ..self }
    }

    pub fn body(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "status": self.status,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
            "details": self.details,
        }})
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> ApiError {
        ApiError::internal(format!("local state: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if code == StatusCode::NOT_MODIFIED {
            return code.into_response();
        }
        if self.code == 500 {
            tracing::error!("internal error: {}", self.message);
        }
        (code, Json(self.body())).into_response()
    }
}
