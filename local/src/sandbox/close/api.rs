//! Close's side of the sandbox: who calls, within which limits, and what is answered.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::common::server::not_served;
use super::super::common::{Sandbox, Shared};
use super::limits::Told;
use super::list::{BadQuery, Query};
use super::org::{Object, Org};
use super::resources::{Access, EVENT, LEAD, OPPORTUNITY, Resource};
use super::{Company, KEY, RESTRICTED_KEY, events, search};

const PREFIX: &str = "/api/v1/";
const LARGEST_BODY: usize = 1 << 20;

/// What the user a key belongs to may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Admin,
    /// Sees half the leads, and no amounts.
    Restricted,
}

/// Below `/api/v1/`: counted, checked, limited, answered.
pub async fn api(State(sandbox): State<Shared<Company>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(fault) = sandbox.meet(parts.uri.path()) {
        return fault;
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    if let Some(redirect) = slash_wanted(&parts) {
        return redirect;
    }
    let Some(role) = role(&parts.headers) else {
        let text =
            "The server could not verify that you are authorized to access the URL requested.";
        return refuse(401, text);
    };
    let told = enter(&sandbox, &parts, role);
    let mut response = if told.refused {
        let text = "API call count exceeded for this window";
        refuse(429, text)
    } else {
        sandbox.take_time().await;
        answer(&sandbox, role, &parts, &body)
    };
    tell(response.headers_mut(), &told);
    response
}

/// Each path ends with a slash; one without is sent on.
fn slash_wanted(parts: &Parts) -> Option<Response> {
    let path = parts.uri.path();
    if path.ends_with('/') {
        return None;
    }
    let query = parts.uri.query().map(|query| format!("?{query}"));
    let location = format!("{path}/{}", query.unwrap_or_default());
    Some(
        (
            StatusCode::MOVED_PERMANENTLY,
            [(header::LOCATION, location)],
        )
            .into_response(),
    )
}

/// The key is the user's name; the password is empty.
fn role(headers: &HeaderMap) -> Option<Role> {
    let basic = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(basic.strip_prefix("Basic ")?).ok()?;
    match String::from_utf8(decoded).ok()?.strip_suffix(':')? {
        KEY => Some(Role::Admin),
        RESTRICTED_KEY => Some(Role::Restricted),
        _ => None,
    }
}

fn enter(sandbox: &Sandbox<Company>, parts: &Parts, role: Role) -> Told {
    let mut inside = sandbox.lock();
    let now = inside.clock();
    let group = format!("{role:?} {} {}", parts.method, parts.uri.path());
    inside.world.limits.enter(&group, now)
}

fn tell(headers: &mut HeaderMap, told: &Told) {
    let Told {
        limit,
        remaining,
        reset,
        refused,
    } = told;
    let text = format!("limit={limit}, remaining={remaining}, reset={reset}");
    if let Ok(value) = text.parse() {
        headers.insert("ratelimit", value);
    }
    if *refused {
        headers.insert(header::RETRY_AFTER, (reset.ceil() as u64).into());
    }
}

fn answer(sandbox: &Sandbox<Company>, role: Role, parts: &Parts, body: &[u8]) -> Response {
    let path = parts
        .uri
        .path()
        .trim_start_matches(PREFIX)
        .trim_end_matches('/');
    let inside = sandbox.lock();
    let org = &inside.world.org;
    let shown = |object: &Object| role == Role::Admin || is_shown(object);
    let replied = match (path, &parts.method) {
        ("me", &Method::GET) => Ok(me(org)),
        ("data/search", &Method::POST) => {
            let body = serde_json::from_slice(body).unwrap_or_default();
            search::search(org, &body, inside.clock(), &shown)
        }
        (path, &Method::GET) => match Resource::of_path(path) {
            None => return refuse(404, "Not found."),
            Some(resource) => {
                if let Some(refusal) = closed(resource, role) {
                    return refusal;
                }
                list(org, resource, parts, &shown)
            }
        },
        (_, method) => return not_served(method, parts.uri.path()),
    };
    match replied {
        Ok(mut reply) => {
            hide(role, &mut reply);
            axum::Json(reply).into_response()
        }
        Err(BadQuery(text)) => refuse(400, &text),
    }
}

fn closed(resource: &Resource, role: Role) -> Option<Response> {
    match (resource.access, role) {
        (Access::NotInPlan, _) => Some(refuse(402, "Your plan does not have this feature.")),
        (Access::Admins, Role::Restricted) => Some(refuse(
            403,
            "You do not have permission to perform this action.",
        )),
        _ => None,
    }
}

fn list(
    org: &Org,
    resource: &Resource,
    parts: &Parts,
    shown: &dyn Fn(&Object) -> bool,
) -> Result<Value, BadQuery> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let offset = offset(&parts.headers)?;
    if resource.path == EVENT {
        return events::events(org, resource, &pairs, offset);
    }
    Ok(Query::parse(resource, &pairs, offset)?.reply(org, resource, shown))
}

/// Hours from UTC, in which dates without a zone are read.
fn offset(headers: &HeaderMap) -> Result<i64, BadQuery> {
    let Some(value) = headers.get("x-tz-offset") else {
        return Ok(0);
    };
    let hours = value.to_str().ok().and_then(|text| text.parse().ok());
    hours.ok_or_else(|| BadQuery("X-TZ-Offset is not a number of hours".to_owned()))
}

fn is_shown(object: &Object) -> bool {
    let half = object
        .id
        .bytes()
        .map(usize::from)
        .sum::<usize>()
        .is_multiple_of(2);
    !object.id.starts_with(LEAD) || half
}

/// Takes away, without a word, what a role does not see.
fn hide(role: Role, reply: &mut Value) {
    if role == Role::Admin {
        return;
    }
    for object in reply["data"].as_array_mut().into_iter().flatten() {
        let Some(object) = object.as_object_mut() else {
            continue;
        };
        object.remove("value");
        object.remove(&format!("{OPPORTUNITY}_value"));
    }
}

fn me(org: &Org) -> Value {
    let user = org.all("user").first().map(|user| user.body.clone());
    let mut me = json!(user.unwrap_or_default());
    me["organizations"] = json!([{"id": "orga_sandbox", "name": "Sandbox"}]);
    me
}

fn refuse(status: u16, text: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(json!({"error": text}))).into_response()
}
