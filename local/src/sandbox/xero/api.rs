//! Xero's side of the sandbox: sign-in, connections and the accounting API.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::common::server::not_served;
use super::super::common::{Sandbox, Shared};
use super::Company;
use super::endpoints::Endpoint;
use super::ledger::clock::{iso, moment};
use super::ledger::draw::Draw;
use super::ledger::{Ledger, people};
use super::limits::{Refusal, Remaining};
use super::query::{Query, Selection};
use super::tokens::{
    ACCESS_LIFE, Access, CLIENT_ID, CLIENT_SECRET, Grant, Issued, Refused, TENANT_ID,
};

const PREFIX: &str = "/api.xro/2.0/";

/// `POST /connect/token`.
pub async fn token(
    State(sandbox): State<Shared<Company>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(fault) = sandbox.meet("/connect/token") {
        return fault;
    }
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let issued = sign_in(&sandbox, &headers, &body);
    // A refresh token must not be lost: it is on disk before it is given out.
    match (issued, sandbox.save()) {
        (Ok(issued), Ok(())) => axum::Json(granted(&issued)).into_response(),
        (Ok(_), Err(error)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
        (Err(refused), _) => (
            StatusCode::BAD_REQUEST,
            axum::Json(json!({"error": refused.to_string()})),
        )
            .into_response(),
    }
}

fn sign_in(
    sandbox: &Sandbox<Company>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Issued, Refused> {
    if !text(headers, "content-type").starts_with("application/x-www-form-urlencoded") {
        return Err(Refused::GrantType);
    }
    let expected = format!(
        "Basic {}",
        STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"))
    );
    if text(headers, "authorization") != expected {
        return Err(Refused::Client);
    }
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let mut inside = sandbox.lock();
    let now = inside.clock();
    inside.world.tokens.issue(&form, now)
}

fn granted(issued: &Issued) -> Value {
    let mut reply = json!({
        "access_token": issued.access,
        "expires_in": ACCESS_LIFE / 1000,
        "token_type": "Bearer",
    });
    if let Some(refresh) = &issued.refresh {
        reply["refresh_token"] = json!(refresh);
    }
    if let Some(scope) = &issued.scope {
        reply["scope"] = json!(scope);
    }
    reply
}

/// `GET /connections`: the organisations a token reaches.
pub async fn connections(
    State(sandbox): State<Shared<Company>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if let Some(fault) = sandbox.meet("/connections") {
        return fault;
    }
    if method != Method::GET {
        return not_served(&method, "/connections");
    }
    let ledger = sandbox.lock().world.ledger.clone();
    match access(&sandbox, &headers) {
        Err(denied) => denied.into_response(),
        Ok(_) => axum::Json(json!([{
            "id": Draw::new(ledger.seed, "connection", &[]).uuid(),
            "authEventId": Draw::new(ledger.seed, "consent", &[]).uuid(),
            "tenantId": TENANT_ID,
            "tenantType": "ORGANISATION",
            "tenantName": people::ORGANISATION,
            "createdDateUtc": "2024-01-01T00:00:00.0000000",
            "updatedDateUtc": "2024-01-01T00:00:00.0000000",
        }]))
        .into_response(),
    }
}

/// `/api.xro/2.0/`: counted, limited, checked, answered.
pub async fn accounting(State(sandbox): State<Shared<Company>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(fault) = sandbox.meet(parts.uri.path()) {
        return fault;
    }
    let access = match checked(&sandbox, &parts.headers) {
        Ok(access) => access,
        Err(denied) => return denied.into_response(),
    };
    let entered = Entered::try_new(&sandbox);
    let remaining = sandbox.lock().world.limits.remaining();
    let mut response = match &entered {
        Ok(_) => {
            sandbox.take_time().await;
            answer(&sandbox, &access, &parts.method, &parts.uri, &parts.headers)
        }
        Err(refusal) => limited(refusal),
    };
    tell(response.headers_mut(), &remaining);
    response
}

/// A call that counts as in flight until it is answered.
struct Entered<'a>(&'a Sandbox<Company>);

impl<'a> Entered<'a> {
    fn try_new(sandbox: &'a Sandbox<Company>) -> Result<Entered<'a>, Refusal> {
        let mut inside = sandbox.lock();
        let now = inside.clock();
        inside.world.limits.enter(now)?;
        Ok(Entered(sandbox))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.lock().world.limits.leave();
    }
}

/// Who calls, if the token is good and the organisation theirs.
fn checked(sandbox: &Sandbox<Company>, headers: &HeaderMap) -> Result<Access, Denied> {
    let access = access(sandbox, headers)?;
    let tenant = text(headers, "xero-tenant-id");
    let unnamed = tenant.is_empty() && access.grant == Grant::ClientCredentials;
    if unnamed || tenant == TENANT_ID {
        Ok(access)
    } else {
        Err(Denied::Tenant)
    }
}

fn access(sandbox: &Sandbox<Company>, headers: &HeaderMap) -> Result<Access, Denied> {
    let inside = sandbox.lock();
    let token = text(headers, "authorization")
        .strip_prefix("Bearer ")
        .ok_or(Denied::Unknown)?;
    let access = inside.world.tokens.access(token).ok_or(Denied::Unknown)?;
    if access.expires <= inside.clock() {
        return Err(Denied::Expired(access.expires));
    }
    Ok(access.clone())
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    Unknown,
    Expired(i64),
    Scope,
    Tenant,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Denied::Unknown => (
                401,
                "Unauthorized",
                "AuthenticationUnsuccessful".to_string(),
            ),
            Denied::Expired(at) => (
                401,
                "Unauthorized",
                format!("TokenExpired: token expired at {}", iso(at)),
            ),
            Denied::Scope => (401, "Unauthorized", "AuthorizationUnsuccessful".to_string()),
            Denied::Tenant => (403, "Forbidden", "AuthenticationUnsuccessful".to_string()),
        };
        let body = json!({"Type": null, "Title": title, "Status": status, "Detail": detail,
            "Instance": uuid::Uuid::new_v4().to_string(), "Extensions": {}});
        let mut response = json_reply(status, &body);
        if self == Denied::Scope {
            let value = HeaderValue::from_static("insufficient_scope");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

fn answer(
    sandbox: &Sandbox<Company>,
    access: &Access,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    if method != Method::GET {
        return not_served(method, uri.path());
    }
    if !text(headers, "accept").contains("application/json") {
        return xml_wanted();
    }
    let rest = uri.path().trim_start_matches(PREFIX).trim_end_matches('/');
    let (name, id) = rest
        .split_once('/')
        .map_or((rest, None), |(name, id)| (name, Some(id)));
    let Some(endpoint) = Endpoint::of_path(name) else {
        return no_resource();
    };
    if !access.opens(endpoint.scopes()) {
        return Denied::Scope.into_response();
    }
    let since = headers
        .get(header::IF_MODIFIED_SINCE)
        .and_then(|value| value.to_str().ok());
    let query = match Query::parse(uri.query().unwrap_or_default(), since) {
        Ok(query) => query,
        Err(bad) => return json_reply(400, &exception("QueryParseException", &bad.to_string())),
    };
    let ledger = sandbox.lock().world.ledger.clone();
    match id {
        None => list(&ledger, endpoint, &query, uri),
        Some(id) => one(&ledger, endpoint, &query, id, uri),
    }
}

fn list(ledger: &Ledger, endpoint: Endpoint, query: &Query, uri: &Uri) -> Response {
    let Selection {
        entries,
        pagination,
        detail,
    } = query.select(endpoint, endpoint.entries(ledger));
    let documents = entries
        .iter()
        .map(|entry| endpoint.document(ledger, entry.position, detail));
    let mut envelope = envelope(ledger, uri);
    if let Some(told) = pagination {
        envelope["pagination"] = json!({"page": told.page, "pageSize": told.page_size,
            "pageCount": told.pages, "itemCount": told.items});
    }
    envelope[endpoint.key()] = documents.collect();
    json_reply(200, &envelope)
}

/// A document by its id.
fn one(ledger: &Ledger, endpoint: Endpoint, query: &Query, id: &str, uri: &Uri) -> Response {
    let detail = query.whole_document();
    let found = endpoint
        .entries(ledger)
        .into_iter()
        .map(|entry| endpoint.document(ledger, entry.position, detail))
        .find(|document| document[endpoint.id_field()].as_str() == Some(id));
    let Some(document) = found else {
        return no_resource();
    };
    let mut envelope = envelope(ledger, uri);
    envelope[endpoint.key()] = json!([document]);
    json_reply(200, &envelope)
}

/// The same request at the same time is answered by the same bytes, so its id follows from both.
fn envelope(ledger: &Ledger, uri: &Uri) -> Value {
    json!({
        "Id": Draw::new(ledger.seed, &uri.to_string(), &[ledger.now as u64]).uuid(),
        "Status": "OK",
        "ProviderName": "xetl sandbox",
        "DateTimeUTC": moment(ledger.now),
    })
}

fn exception(kind: &str, message: &str) -> Value {
    json!({"ErrorNumber": 16, "Type": kind, "Message": message})
}

fn limited(refusal: &Refusal) -> Response {
    let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
    let headers = response.headers_mut();
    headers.insert(
        "x-rate-limit-problem",
        HeaderValue::from_static(refusal.problem),
    );
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn tell(headers: &mut HeaderMap, remaining: &Remaining) {
    let told = [
        ("x-minlimit-remaining", remaining.minute),
        ("x-daylimit-remaining", remaining.day),
        ("x-appminlimit-remaining", remaining.app_minute),
    ];
    for (name, left) in told {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(left));
    }
}

/// Xero would answer in XML, which the sandbox does not speak.
fn xml_wanted() -> Response {
    let body = "<ApiException><ErrorNumber>0</ErrorNumber><Type>NotAcceptable</Type><Message>Xero answers XML \
        unless it is sent `Accept: application/json`; the sandbox has JSON only</Message></ApiException>";
    (
        StatusCode::NOT_ACCEPTABLE,
        [(header::CONTENT_TYPE, "text/xml; charset=utf-8")],
        body,
    )
        .into_response()
}

fn no_resource() -> Response {
    (
        StatusCode::NOT_FOUND,
        "The resource you're looking for cannot be found",
    )
        .into_response()
}

fn json_reply(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, content_type, body.to_string()).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
