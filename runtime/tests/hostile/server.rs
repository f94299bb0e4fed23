//! A server that says what it is told to, down to the bytes, and notes what it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A request: its line's target, its headers with names in lower case, its body.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The number in a query parameter; 0 without it.
    pub fn number(&self, name: &str) -> usize {
        let url = url::Url::parse("http://host").unwrap();
        let url = url.join(&self.target).unwrap();
        let found = url.query_pairs().find(|(known, _)| known == name);
        found.map_or(0, |(_, value)| value.parse().unwrap_or(0))
    }
}

/// What is written to the connection, which is closed after an error.
pub type Answer = Box<dyn FnOnce(&mut TcpStream) -> std::io::Result<()>>;

/// A whole reply of some status.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
    let given = headers.iter();
    all.extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let head = head(status, &all, body.len());
    Box::new(move |stream| {
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    })
}

pub fn json(body: impl Into<Vec<u8>>) -> Answer {
    reply(200, &[], body)
}

/// A reply that breaks off: `body` and then nothing, where more was announced.
pub fn cut(body: &'static str) -> Answer {
    let head = head(200, &[], body.len() + 1000);
    Box::new(move |stream| {
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        Err(hang_up())
    })
}

fn hang_up() -> std::io::Error {
    std::io::ErrorKind::ConnectionAborted.into()
}

/// Takes the request and never answers.
pub fn silence() -> Answer {
    Box::new(|stream| {
        // Ends when the one who asked gives up.
        stream.read_to_end(&mut Vec::new())?;
        Err(hang_up())
    })
}

pub fn head(status: u16, headers: &[(String, String)], length: usize) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n{headers}\r\n")
}

type Handler = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// Serves until it is dropped.
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, ends) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let accepting = thread::spawn({
            let (asked, ends, answer): (_, _, Handler) =
                (Arc::clone(&asked), Arc::clone(&ends), Arc::new(answer));
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    thread::spawn(move || converse(stream, &asked, &answer));
                }
            }
        });
        Server {
            address,
            asked,
            ends,
            accepting: Some(accepting),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same server under another host's name.
    pub fn url_elsewhere(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// One request and its answer after another; who asked may hang up at any time.
fn converse(mut stream: TcpStream, asked: &Mutex<Vec<Asked>>, answer: &Handler) {
    // A reply is two writes; the second must not wait for the first.
    let _ = stream.set_nodelay(true);
    let Ok(reader) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(reader);
    while let Some(request) = request(&mut reader) {
        let answer = answer(&request);
        asked.lock().unwrap().push(request);
        if answer(&mut stream).is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut request = Asked {
        target: line.split(' ').nth(1)?.to_owned(),
        ..Asked::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let header = (name.to_ascii_lowercase(), value.to_owned());
        request.headers.push(header);
    }
    let length = request.header("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}
