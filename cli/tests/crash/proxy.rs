//! Between a runtime and the cloud: counts writes, and kills the runtime at one of them.

use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// When at a write a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The cloud never hears of it.
    Before,
    /// The process never hears that it is done.
    After,
}

/// A write, counted from 0 over all tasks, and the moment at it.
pub type Death = (usize, Moment);

/// The writes of an execution's tasks.
#[derive(Debug, Default)]
pub struct Writes {
    pub seen: AtomicUsize,
    pub death: Option<Death>,
}

impl Writes {
    pub fn until(death: Option<Death>) -> Arc<Writes> {
        let seen = AtomicUsize::new(0);
        Arc::new(Writes { seen, death })
    }

    /// The moment of death at this write, if it is the one.
    fn next(&self) -> Option<Moment> {
        let number = self.seen.fetch_add(1, Ordering::SeqCst);
        self.death
            .filter(|(at, _)| *at == number)
            .map(|(_, moment)| moment)
    }
}

/// The way of one process to the cloud.
pub struct Proxy {
    pub host: String,
    /// The process; the one who starts it puts it here.
    pub process: Arc<Mutex<Option<Child>>>,
    task: tokio::task::JoinHandle<()>,
}

struct Way {
    /// Where this way begins and ends.
    host: String,
    cloud: String,
    client: reqwest::Client,
    writes: Arc<Writes>,
    process: Arc<Mutex<Option<Child>>>,
}

impl Proxy {
    pub async fn start(cloud: &str, client: &reqwest::Client, writes: Arc<Writes>) -> Proxy {
        let process = Arc::new(Mutex::new(None));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let way = Way {
            host: host.clone(),
            cloud: cloud.to_owned(),
            client: client.clone(),
            writes,
            process: process.clone(),
        };
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(Arc::new(way));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Proxy {
            host,
            process,
            task,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(process) = &mut *self.process.lock().unwrap() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Way {
    fn kill(&self) -> Response {
        self.process
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .kill()
            .unwrap();
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    async fn forward(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.cloud, parts.uri);
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let sent = self
            .client
            .request(parts.method, url)
            .headers(end_to_end(parts.headers));
        let answer = sent.body(body).send().await.unwrap();
        let (status, headers) = (answer.status(), end_to_end(answer.headers().clone()));
        let headers = self.by_this_way(headers);
        let body = Body::from(answer.bytes().await.unwrap());
        (status, headers, body).into_response()
    }
}

impl Way {
    /// The addresses that the cloud gives out, by this way.
    fn by_this_way(&self, mut headers: HeaderMap) -> HeaderMap {
        for name in [header::LOCATION, header::WWW_AUTHENTICATE] {
            let text = headers.get(&name).and_then(|value| value.to_str().ok());
            if let Some(text) =
                text.map(|text| text.replace(&self.cloud, &format!("http://{}", self.host)))
            {
                headers.insert(name, text.parse().unwrap());
            }
        }
        headers
    }
}

/// The headers that are not about one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ] {
        headers.remove(name);
    }
    headers
}

async fn answer(State(way): State<Arc<Way>>, request: Request) -> Response {
    if request.uri().path().starts_with("/computeMetadata/") {
        return metadata(request.uri().path());
    }
    let death = match *request.method() {
        Method::GET | Method::HEAD => None,
        _ => way.writes.next(),
    };
    if death == Some(Moment::Before) {
        return way.kill();
    }
    // Done whether or not somebody waits for the answer, as a cloud does it.
    let forwarded = tokio::spawn({
        let way = way.clone();
        async move { way.forward(request).await }
    });
    let response = forwarded.await.unwrap();
    match death {
        Some(Moment::After) => way.kill(),
        _ => response,
    }
}

/// The metadata server's: the token of the local cloud's own user.
fn metadata(path: &str) -> Response {
    let flavour = [("metadata-flavor", "Google")];
    if path.ends_with("/universe_domain") || path.ends_with("/universe-domain") {
        return (flavour, "googleapis.com").into_response();
    }
    let token = serde_json::json!({"access_token": "local-user", "expires_in": 3600, "token_type": "Bearer"});
    (flavour, axum::Json(token)).into_response()
}
