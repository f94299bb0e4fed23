//! One script of object calls, to be made of any server of Storage's JSON API.

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

const CHUNK: usize = 256 * 1024;

/// What a server answered to a step.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub step: &'static str,
    pub status: u16,
    /// What matters of the answer; none of an error's.
    pub answer: Value,
}

/// Makes the calls, one after the other.
pub struct Script {
    client: Client,
    server: String,
    pub seen: Vec<Seen>,
}

/// What of an answer is looked at.
enum Look {
    Nothing,
    Object,
    Listing,
    Media,
    /// How far a resumable upload is.
    Range,
}

/// Either server closes a connection whose request it answered before its end, which one that
/// is kept for the next call may learn too late.
fn fresh_connections() -> Client {
    let client = Client::builder().pool_max_idle_per_host(0);
    client.build().unwrap()
}

impl Script {
    /// Makes all of it of a server.
    pub async fn run(server: &str) -> Vec<Seen> {
        let mut script = Script {
            client: fresh_connections(),
            server: server.to_owned(),
            seen: Vec::new(),
        };
        let bucket = json!({"name": "differential"});
        let create = script.post("/storage/v1/b?project=local-project");
        script
            .step("make the bucket", create.json(&bucket), Look::Nothing)
            .await;
        script.uploads().await;
        script.resumable().await;
        script.reads().await;
        script.conditions().await;
        script.listings().await;
        script.made_of_others().await;
        script.deletes().await;
        script.seen
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.server))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.call(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.call(Method::POST, path)
    }

    fn upload(&self, name: &str, more: &str, body: &str) -> RequestBuilder {
        let metadata = json!({"name": name, "contentType": "text/plain"});
        self.multipart(&metadata, more, body)
    }

    fn multipart(&self, metadata: &Value, more: &str, body: &str) -> RequestBuilder {
        let path = format!("/upload/storage/v1/b/differential/o?uploadType=multipart{more}");
        let kind = metadata["contentType"].as_str().unwrap();
        let body = format!(
            "--x\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n\
             --x\r\ncontent-type: {kind}\r\n\r\n{body}\r\n--x--\r\n"
        );
        self.post(&path)
            .header("content-type", "multipart/related; boundary=x")
            .body(body)
    }

    fn object(&self, method: Method, name: &str) -> RequestBuilder {
        self.call(method, &format!("/storage/v1/b/differential/o/{name}"))
    }

    /// Makes a call, writes down what is looked at, and gives the whole JSON back.
    async fn step(&mut self, step: &'static str, request: RequestBuilder, look: Look) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let (answer, whole) = looked_at(response, look).await;
        self.seen.push(Seen {
            step,
            status,
            answer,
        });
        whole
    }

    async fn uploads(&mut self) {
        let simple = self
            .post("/upload/storage/v1/b/differential/o?uploadType=media&name=a%2F1")
            .header("content-type", "text/plain")
            .body("hello world");
        self.step("upload media", simple, Look::Object).await;
        let metadata = json!({"name": "a/2", "contentType": "text/csv", "metadata": {"k": "v"}});
        let multipart = self.multipart(&metadata, "", "a,b\r\n1,2");
        self.step("upload multipart", multipart, Look::Object).await;
        let empty = self.upload("b/empty", "", "");
        self.step("upload nothing", empty, Look::Object).await;
        let lost = self.post("/upload/storage/v1/b/no-such-bucket-here/o?uploadType=media&name=x");
        let lost = lost.body("x");
        self.step("upload to no bucket", lost, Look::Nothing).await;
    }

    /// Where a new resumable upload goes.
    async fn session(&self, name: &str) -> String {
        let start = format!("/upload/storage/v1/b/differential/o?uploadType=resumable&name={name}");
        let start = self
            .post(&start)
            .json(&json!({"contentType": "application/octet-stream"}));
        let response = start.send().await.unwrap();
        response.headers()["location"].to_str().unwrap().to_owned()
    }

    fn chunk(&self, session: &str, range: &str, body: Vec<u8>) -> RequestBuilder {
        self.client
            .put(session)
            .header("content-range", range)
            .body(body)
    }

    async fn resumable(&mut self) {
        let session = self.session("b%2Fbig").await;
        let range = format!("bytes 0-{}/*", CHUNK - 1);
        let first = self.chunk(&session, &range, vec![b'x'; CHUNK]);
        self.step("the first chunk", first, Look::Range).await;
        let range = format!("bytes {CHUNK}-{}/{}", CHUNK + 9, CHUNK + 10);
        let last = self.chunk(&session, &range, vec![b'y'; 10]);
        self.step("the last chunk", last, Look::Object).await;
        let session = self.session("b%2Fasked").await;
        let asked = self.chunk(&session, "bytes */*", Vec::new());
        self.step("how far an upload is", asked, Look::Range).await;
        let whole = self.chunk(&session, "bytes 0-2/3", b"abc".to_vec());
        self.step("all of it at once", whole, Look::Object).await;
    }

    async fn reads(&mut self) {
        let object = self.object(Method::GET, "a%2F1");
        self.step("an object", object, Look::Object).await;
        let missing = self.object(Method::GET, "missing");
        self.step("no object", missing, Look::Nothing).await;
        let media = |script: &Script| script.object(Method::GET, "a%2F1?alt=media");
        let whole = media(self);
        self.step("its bytes", whole, Look::Media).await;
        for (step, range) in [
            ("its first bytes", "bytes=0-4"),
            ("its middle", "bytes=3-"),
            ("its last bytes", "bytes=-5"),
            ("more than it has", "bytes=6-100"),
        ] {
            let part = media(self).header("range", range);
            self.step(step, part, Look::Media).await;
        }
        let beyond = media(self).header("range", "bytes=100-200");
        self.step("beyond its end", beyond, Look::Nothing).await;
    }

    async fn conditions(&mut self) {
        let new = self.upload("c", "&ifGenerationMatch=0", "one");
        let made = self.step("only if it is new", new, Look::Object).await;
        let again = self.upload("c", "&ifGenerationMatch=0", "two");
        self.step("which it is not", again, Look::Nothing).await;
        let generation = made["generation"].as_str().unwrap().to_owned();
        let read = format!("c?ifGenerationNotMatch={generation}");
        let read = self.object(Method::GET, &read);
        self.step("only if it changed", read, Look::Nothing).await;
        let read = self.object(Method::GET, "c?ifGenerationMatch=1");
        self.step("only another generation", read, Look::Nothing)
            .await;
        let swap = format!("&ifGenerationMatch={generation}");
        let swap = self.upload("c", &swap, "two");
        self.step("if it is as it was read", swap, Look::Object)
            .await;
        let late = format!("&ifGenerationMatch={generation}");
        let late = self.upload("c", &late, "three");
        self.step("which it is no more", late, Look::Nothing).await;
        let other = self.upload("e", "", "e");
        self.step("one more", other, Look::Object).await;
        let delete = self.object(Method::DELETE, "e?ifGenerationMatch=1");
        self.step("delete another generation", delete, Look::Nothing)
            .await;
        let changed = self
            .object(Method::PATCH, "c")
            .json(&json!({"metadata": {"k": "w"}}));
        self.step("change its metadata", changed, Look::Object)
            .await;
    }

    async fn listings(&mut self) {
        let list = |script: &Script, query: &str| {
            script.get(&format!("/storage/v1/b/differential/o?{query}"))
        };
        for (step, query) in [
            ("of a prefix", "prefix=a/"),
            ("up to a name", "endOffset=b/empty"),
            ("folded", "delimiter=/&endOffset=d"),
            ("folded under a prefix", "prefix=b/&delimiter=/"),
            ("from a name on", "startOffset=a/2&endOffset=b/b"),
            ("of a prefix nobody has", "prefix=zzz"),
        ] {
            let listed = list(self, query);
            self.step(step, listed, Look::Listing).await;
        }
        let first = list(self, "prefix=a/&maxResults=1");
        let page = self.step("the first page", first, Look::Listing).await;
        let token = page["nextPageToken"].as_str().unwrap_or_default();
        let second = list(self, &format!("prefix=a/&maxResults=1&pageToken={token}"));
        self.step("the second page", second, Look::Listing).await;
        let lost = self.get("/storage/v1/b/no-such-bucket-here/o");
        self.step("of no bucket", lost, Look::Nothing).await;
    }

    async fn made_of_others(&mut self) {
        let body = json!({
            "sourceObjects": [{"name": "a/1"}, {"name": "c"}],
            "destination": {"contentType": "text/plain"},
        });
        let compose = self
            .post("/storage/v1/b/differential/o/d%2Fboth/compose")
            .json(&body);
        self.step("compose", compose, Look::Object).await;
        let media = self.object(Method::GET, "d%2Fboth?alt=media");
        self.step("what was composed", media, Look::Media).await;
        let body = json!({"sourceObjects": [{"name": "a/1"}, {"name": "missing"}]});
        let compose = self
            .post("/storage/v1/b/differential/o/d%2Fnone/compose")
            .json(&body);
        self.step("compose what is not there", compose, Look::Nothing)
            .await;
        let copy = "/storage/v1/b/differential/o/a%2F2/rewriteTo/b/differential/o/d%2Fcopy";
        let copy = self.post(copy).json(&json!({}));
        self.step("rewrite", copy, Look::Nothing).await;
        let copied = self.object(Method::GET, "d%2Fcopy");
        self.step("what was rewritten", copied, Look::Object).await;
    }

    async fn deletes(&mut self) {
        let full = self.call(Method::DELETE, "/storage/v1/b/differential");
        self.step("delete the bucket with its objects", full, Look::Nothing)
            .await;
        for (step, name) in [
            ("delete", "a%2F1"),
            ("delete again", "a%2F1"),
            ("delete the next", "a%2F2"),
            ("and the next", "b%2Fempty"),
            ("and the big one", "b%2Fbig"),
            ("and the one asked of", "b%2Fasked"),
            ("and the changed one", "c"),
            ("and what a condition kept", "e"),
            ("and the composed one", "d%2Fboth"),
            ("and the copy", "d%2Fcopy"),
        ] {
            let delete = self.object(Method::DELETE, name);
            self.step(step, delete, Look::Nothing).await;
        }
        let empty = self.call(Method::DELETE, "/storage/v1/b/differential");
        self.step("delete the bucket", empty, Look::Nothing).await;
        let gone = self.get("/storage/v1/b/differential");
        self.step("which is gone", gone, Look::Nothing).await;
    }
}

async fn looked_at(response: Response, look: Look) -> (Value, Value) {
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let (range, content_range) = (header("range"), header("content-range"));
    let bytes = response.bytes().await.unwrap();
    let whole: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let answer = match look {
        Look::Nothing => Value::Null,
        Look::Range => json!(range),
        Look::Media => json!([content_range, String::from_utf8_lossy(&bytes)]),
        Look::Object => picked(&whole),
        Look::Listing => {
            let items = whole["items"].as_array().into_iter().flatten();
            let names: Vec<&Value> = items.map(|item| &item["name"]).collect();
            let prefixes = whole["prefixes"].as_array().cloned().unwrap_or_default();
            json!({"names": names, "prefixes": prefixes, "more": whole["nextPageToken"].is_string()})
        }
    };
    (answer, whole)
}

fn picked(object: &Value) -> Value {
    let fields = [
        "kind",
        "bucket",
        "name",
        "size",
        "crc32c",
        "md5Hash",
        "contentType",
        "componentCount",
        "metadata",
        "metageneration",
    ];
    let found = fields
        .iter()
        .map(|field| ((*field).to_owned(), object[*field].clone()));
    Value::Object(found.filter(|(_, value)| !value.is_null()).collect())
}
