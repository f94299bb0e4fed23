//! Errors in the form of the distribution spec: `{"errors": [{"code", "message", "detail"}]}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error as a registry answers it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RegistryError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl RegistryError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> RegistryError {
        RegistryError {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn name_unknown(name: &str) -> RegistryError {
        let message = format!("Repository \"{name}\" not found");
        RegistryError::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    pub fn name_invalid(name: &str) -> RegistryError {
        let message =
            format!("`{name}` is no image name: PROJECT/REPOSITORY/IMAGE in lower case is");
        RegistryError::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)
    }

    pub fn blob_unknown(digest: &str) -> RegistryError {
        let message = format!("blob {digest} is not in this repository");
        RegistryError::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
    }

    pub fn upload_unknown() -> RegistryError {
        let message = "no such upload";
        RegistryError::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
    }

    pub fn upload_invalid(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// A chunk that does not follow the one before.
    pub fn range_invalid(message: impl Into<String>) -> RegistryError {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        RegistryError::new(status, "BLOB_UPLOAD_INVALID", message)
    }

    pub fn digest_invalid(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub fn manifest_unknown(reference: &str) -> RegistryError {
        let message = format!("Failed to fetch \"{reference}\"");
        RegistryError::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    }

    pub fn manifest_invalid(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
    }

    pub fn manifest_blob_unknown(digest: &str) -> RegistryError {
        let message = format!("the manifest names {digest}, which was not pushed here");
        RegistryError::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message)
    }

    pub fn too_large() -> RegistryError {
        let message = "a manifest holds at most 4 MiB";
        RegistryError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    }

    pub fn unauthorized(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    pub fn denied(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    pub fn unsupported(message: impl Into<String>) -> RegistryError {
        RegistryError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    /// Artifact Registry keeps a manifest that tags still point at.
    pub fn dangling_tag(digest: &str) -> RegistryError {
        let message = format!("{digest} is still tagged: delete its tags first");
        let code = "GOOGLE_MANIFEST_DANGLING_TAG";
        RegistryError::new(StatusCode::BAD_REQUEST, code, message)
    }
}

impl From<std::io::Error> for RegistryError {
    fn from(error: std::io::Error) -> RegistryError {
        let message = format!("local state: {error}");
        RegistryError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
    }
}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code, "message": self.message}]});
        (self.status, Json(body)).into_response()
    }
}
