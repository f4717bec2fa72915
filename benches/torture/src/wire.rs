//! HTTP/1.1 as a client sees it, by hand: one connection, one request after the other.
//!
//! By hand, because the faults lie between the bytes: when a request was sent, whether an answer had begun, who closed.
//! It deliberately follows no redirect and repeats nothing by itself but a GET on a connection that had gone stale.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::Try;

/// Longest time for one answer; the service holds a request 60 s at most.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(75);
/// Bytes of a head nobody sends; above it the peer is not speaking HTTP.
const HEAD_BYTES: usize = 64 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Try<Value> {
        serde_json::from_slice(&self.body).map_err(|error| format!("status {}: no JSON: {error}", self.status).into())
    }

    /// The id in the body, without reading the rest: an order's answer begins with it.
    pub fn id(&self) -> Option<u128> {
        let text = std::str::from_utf8(&self.body).ok()?;
        id(text.strip_prefix("{\"id\":\"")?.get(..40)?)
    }

    fn says(&self, name: &str, value: &str) -> bool {
        self.header(name).is_some_and(|is| is.eq_ignore_ascii_case(value))
    }
}

/// The number of an order's id (`ord_` and a UUID).
pub fn id(text: &str) -> Option<u128> {
    let digits: String = text.strip_prefix("ord_")?.chars().filter(|c| *c != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

/// The text of an order's id.
pub fn id_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!("ord_{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    } else if method == "POST" {
        text.push_str("content-length: 0\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// A request that places an order.
pub fn placing(body: &str) -> Vec<u8> {
    request("POST", "/orders", &[], body)
}

/// One connection.
pub struct Conn {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Conn {
    /// Connects, from a chosen address of this machine if one is given.
    pub async fn open(to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<Self> {
        Self::open_small(to, from, None).await
    }

    /// The same with a receive buffer of this size.
    pub async fn open_small(to: SocketAddr, from: Option<Ipv4Addr>, receive_bytes: Option<u32>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(ip) = from {
            socket.bind(SocketAddr::from((ip, 0)))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request and reads its answer.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// Reads one answer.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.read_answer()).await;
        answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head().await?;
        let length = answer.header("content-length").and_then(|v| v.parse::<usize>().ok());
        if answer.says("transfer-encoding", "chunked") {
            while let Some(chunk) = self.chunk().await? {
                answer.body.extend_from_slice(&chunk);
            }
        } else {
            answer.body = self.take(length.unwrap_or(0)).await?;
        }
        Ok(answer)
    }

    /// Reads the head of an answer and leaves its body.
    pub async fn head(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(|| odd("no status line"))?;
                return Ok(Answer { status, head, body: Vec::new() });
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(odd("a head without end"));
            }
            self.more().await?;
        }
    }

    /// Reads one chunk of a chunked body; `None` after the last.
    pub async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                let size = usize::from_str_radix(text.trim(), 16).map_err(|_| odd("not a chunk"))?;
                self.buffer.drain(..end + 2);
                let mut chunk = self.take(size + 2).await?;
                chunk.truncate(size);
                return Ok((size > 0).then_some(chunk));
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < bytes {
            self.more().await?;
        }
        let rest = self.buffer.split_off(bytes);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A client that reconnects, for the calls of a row itself (not for its load).
pub struct Client {
    to: SocketAddr,
    from: Option<Ipv4Addr>,
    conn: Option<Conn>,
}

impl Client {
    pub fn new(to: SocketAddr, from: Option<Ipv4Addr>) -> Self {
        Self { to, from, conn: None }
    }

    /// GET, repeated once if the connection had been closed meanwhile.
    pub async fn get(&mut self, path: &str) -> Try<Answer> {
        let request = request("GET", path, &[], "");
        match self.call(&request).await {
            Ok(answer) => Ok(answer),
            Err(_) => Ok(self.call(&request).await.map_err(|error| format!("GET {path}: {error}"))?),
        }
    }

    /// GET of JSON that must be a 200.
    pub async fn json(&mut self, path: &str) -> Try<Value> {
        let answer = self.get(path).await?;
        if answer.status != 200 {
            return Err(format!("GET {path}: {}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        answer.json()
    }

    /// POST on a connection of its own, so that it never meets one that is just being closed.
    pub async fn post(&mut self, path: &str, body: &Value) -> Try<Answer> {
        self.conn = None;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Ok(self.call(&request("POST", path, &[], &body)).await.map_err(|error| format!("POST {path}: {error}"))?)
    }

    /// Places an order that must be accepted; answers it.
    pub async fn place(&mut self, order: &Value) -> Try<Value> {
        let answer = self.post("/orders", order).await?;
        if answer.status != 202 && answer.status != 200 {
            return Err(format!("{}: {}: {order}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        answer.json()
    }

    /// The raw call.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => Conn::open(self.to, self.from).await?,
        };
        let answer = conn.call(request).await?;
        if !answer.says("connection", "close") {
            self.conn = Some(conn);
        }
        Ok(answer)
    }
}
