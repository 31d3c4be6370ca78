//! A server on the loopback that answers as a test says.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn start(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |start| start.parse().unwrap())
    }
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The connection drops after so many bytes of the body.
    pub drops_after: usize,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), drops_after: usize::MAX }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// A file, from where the request asks.
    pub fn file(request: &Request, bytes: &[u8]) -> Self {
        let (start, all) = (request.start(), bytes.len());
        if start == 0 {
            return Self { body: bytes.to_vec(), ..Self::status(200) };
        }
        if start >= all {
            return Self::status(416);
        }
        let range = format!("bytes {start}-{}/{all}", all - 1);
        Self { body: bytes[start..].to_vec(), ..Self::status(206) }.with("Content-Range", range)
    }

    pub fn redirect(status: u16, to: impl ToString) -> Self {
        Self::status(status).with("Location", to)
    }

    pub fn dropping_after(self, drops_after: usize) -> Self {
        Self { drops_after, ..self }
    }
}

/// A server that answers each request by `handle`, until the test ends.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handle: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, handle) = (Arc::clone(&requests), Arc::new(handle));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, handle, stream) = (Arc::clone(&log), Arc::clone(&handle), stream.unwrap());
                thread::spawn(move || {
                    let request = read_request(&stream);
                    log.lock().unwrap().push(request.clone());
                    answer(stream, &request, handle(&request));
                });
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str) -> usize {
        self.requests().iter().filter(|request| request.method == method).count()
    }
}

pub fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines.take_while(|line| !line.is_empty()).map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    });
    Request { method, path, headers: headers.collect() }
}

/// A client that hangs up is no error.
pub fn answer(mut stream: TcpStream, request: &Request, reply: Reply) {
    let mut head = format!("HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status);
    head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let _hung_up = stream.write_all(format!("{head}\r\n").as_bytes());
    if request.method != "HEAD" {
        let _hung_up = stream.write_all(&reply.body[..reply.drops_after.min(reply.body.len())]);
    }
}
