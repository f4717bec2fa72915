//! A real service per test: the binary itself on a free port, ended when the test is over.
//!
//! Tests speak HTTP to it and look at it from outside (`/proc`, signals). It deliberately reaches into no internals.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// Path of the binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_pasta-fasta");

/// A running service.
pub struct House {
    /// As `http://127.0.0.1:PORT`.
    pub base: String,
    /// A client without timeouts of its own.
    pub client: Client,
    child: Child,
}

/// Starts a service with default settings.
pub fn open() -> House {
    open_with(&[])
}

/// Starts a service with these flags.
pub fn open_with(flags: &[&str]) -> House {
    open_under(&[], flags)
}

/// Starts a service with these flags, under a command such as `prlimit`.
pub fn open_under(command: &[&str], flags: &[&str]) -> House {
    let words = [command, &[BINARY]].concat();
    open_as(Command::new(words[0]).args(&words[1..]), flags)
}

/// Starts a service with these flags from a command that may have variables or outputs of its own.
pub fn open_as(command: &mut Command, flags: &[&str]) -> House {
    open_by(command.args(SERVE).args(flags))
}

/// Arguments of a service on a free port.
pub const SERVE: [&str; 5] = ["serve", "--bind", "127.0.0.1:0", "--log", "warn"];

/// Starts a service with this command, which may start the binary by way of another program.
pub fn open_by(command: &mut Command) -> House {
    let mut child = command
        .env("PASTA_FASTA_CACHE_DIR", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let line =
        stdout.lines().map_while(Result::ok).find(|line| line.contains("page")).expect("it says where it listens");
    let base = line.trim().trim_start_matches("page").trim().trim_end_matches('/').to_owned();
    House { base, client: Client::new(), child }
}

/// Starts a service at this address that writes there; it may not listen yet.
pub fn open_at(address: &str, log: &str, out: Stdio, err: Stdio) -> House {
    let child = Command::new(BINARY)
        .args(["serve", "--bind", address, "--log", log])
        .env("PASTA_FASTA_CACHE_DIR", "none")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .expect("the binary starts");
    House { base: format!("http://{address}"), client: Client::new(), child }
}

impl House {
    /// Process id of the service.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A request to this path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// GET, whatever the answer.
    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    /// GET of JSON that must be a 200.
    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "GET {path}");
        response.json().await.expect("JSON")
    }

    /// A series of `/metrics`, by its name and labels as they are written there.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in {text}"))
    }

    /// POST of JSON, whatever the answer.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("an answer")
    }

    /// Places an order that must be accepted; answers it as it was accepted.
    pub async fn place(&self, order: Value) -> Value {
        let response = self.post("/orders", &order).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{order}");
        response.json().await.expect("JSON")
    }

    /// Places an order and holds until it has ended.
    pub async fn cook(&self, order: Value) -> Value {
        let response = self.post("/orders?wait=60", &order).await;
        let status = response.status();
        let ended: Value = response.json().await.expect("JSON");
        assert_eq!(status, StatusCode::OK, "not ended within 60 s, or refused: {ended}");
        ended
    }

    /// The order as it is when it has ended, at most a minute from now.
    pub async fn ended(&self, order: &Value) -> Value {
        let ended = self.json(&format!("{}?wait=60", link(order, "self"))).await;
        assert_eq!(ended["done"], json!(true), "{ended}");
        ended
    }

    /// All recorded steps of an order.
    pub async fn steps(&self, order: &Value) -> Vec<Value> {
        let text = self.get(&format!("{}?format=ndjson", link(order, "steps"))).await.text().await.expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Child processes of the service that are alive.
    pub fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Sends a signal by name and waits for the end.
    pub fn end_with(&mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("it ends")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A link of an order.
pub fn link(order: &Value, name: &str) -> String {
    order["links"][name].as_str().expect("a link").to_owned()
}

/// A number of a JSON document, by pointer.
pub fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer} of {value}"))
}

/// Live child processes of a process, zombies left out.
pub fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("procfs");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain anything; the fields are behind the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}

/// Whether a process is alive and no zombie.
pub fn is_alive(pid: u32) -> bool {
    parent_of(pid).is_some()
}

/// Tries until it holds, looking every few milliseconds; fails after `at_most`.
pub async fn eventually(at_most: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let tried = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        while !holds().await {
            pace.tick().await;
        }
    };
    tokio::time::timeout(at_most, tried).await.unwrap_or_else(|_| panic!("not within {at_most:?}: {what}"));
}

/// Effective cores of this machine right now, as `/comparisons` measures them: burners' CPU seconds per second.
pub fn effective_cores() -> f64 {
    pasta_fasta::lab::probe::effective_cores(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}
