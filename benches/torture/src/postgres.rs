//! A private PostgreSQL for a row: `scripts/cluster` starts it and obeys.
//!
//! It deliberately knows nothing of PostgreSQL itself: how it is started, crashed and promoted is told once, there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::Try;

const CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/cluster");

/// A running one; ends when it is dropped, since its input does.
pub struct Postgres {
    child: Child,
    input: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Its address, of all servers there are.
    pub url: String,
}

impl Postgres {
    /// With these options of `scripts/cluster`.
    pub fn start(options: &[&str]) -> Try<Self> {
        let mut child = Command::new(CLUSTER)
            .args(["--nodes", "0", "--control"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut postgres = Self { input: child.stdin.take(), child, answers, url: String::new() };
        postgres.url = postgres.line()?["url"].as_str().ok_or("no address")?.to_owned();
        Ok(postgres)
    }

    /// The port of the only server.
    pub fn port(&self) -> Try<u16> {
        let rest = self.url.split_once("127.0.0.1:").ok_or("no port")?.1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse()?)
    }

    /// Its address through a line.
    pub fn through(&self, line: u16) -> Try<String> {
        Ok(self.url.replace(&format!(":{}", self.port()?), &format!(":{line}")))
    }

    /// One command; its answer when it has been carried out.
    pub fn ask(&mut self, command: &str) -> Try<String> {
        let input = self.input.as_mut().ok_or("it has ended")?;
        writeln!(input, "{command}")?;
        let told = self.line()?;
        match told["error"].as_str() {
            Some(error) => Err(format!("{command}: {error}").into()),
            None => Ok(told["answer"].as_str().unwrap_or_default().to_owned()),
        }
    }

    fn line(&mut self) -> Try<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|_| "scripts/cluster ended; what it said is above".into())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
