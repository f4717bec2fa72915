//! The service under fire: started, killed, and looked at from outside.
//!
//! It deliberately knows nothing of the service but its command line and its first word.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::Try;
use crate::proc::{self, Process};
use crate::wire::{Client, Conn, request};

/// Longest time to wait for readiness.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Time between two looks at a port that is not bound yet. Chosen: a tenth of what is measured.
const LOOK: Duration = Duration::from_micros(200);

/// Where things are, and how much of everything.
pub struct Setting {
    /// The binary under fire.
    pub binary: PathBuf,
    /// Where logs and ledgers are written.
    pub out: PathBuf,
    /// Large sizes.
    pub full: bool,
}

impl Setting {
    /// The size of a row in this profile.
    pub fn size<T>(&self, quick: T, full: T) -> T {
        if self.full { full } else { quick }
    }
}

/// A running service.
pub struct Service {
    child: Child,
    pub name: String,
    pub port: u16,
    pub log: PathBuf,
    /// From its start until its port was bound, and until it was ready.
    pub bound: Duration,
    pub ready: Duration,
}

/// How to start it.
pub struct Start<'a> {
    setting: &'a Setting,
    name: &'a str,
    port: u16,
    flags: Vec<String>,
    output: Option<(Stdio, Stdio)>,
    wrapper: Vec<String>,
}

impl<'a> Start<'a> {
    /// With default settings on a free port.
    pub fn new(setting: &'a Setting, name: &'a str) -> Try<Self> {
        Ok(Self { setting, name, port: free_port()?, flags: Vec::new(), output: None, wrapper: Vec::new() })
    }

    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Under another program, as `prlimit --nofile=256`.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// With these instead of the log file.
    pub fn output(mut self, stdout: Stdio, stderr: Stdio) -> Self {
        self.output = Some((stdout, stderr));
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn open(self) -> Try<Service> {
        let log = self.setting.out.join(format!("{}.log", self.name));
        let file = File::options().create(true).append(true).open(&log)?;
        let (stdout, stderr) = match self.output {
            Some(output) => output,
            None => (Stdio::from(file.try_clone()?), Stdio::from(file)),
        };
        let binary = self.setting.binary.to_string_lossy().into_owned();
        let mut words = self.wrapper.into_iter().chain([binary]);
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).args(["serve", "--bind", &format!("127.0.0.1:{}", self.port)]).args(&self.flags);
        // The settings of whoever runs this must not change what is tested.
        let foreign = std::env::vars().map(|(key, _)| key).filter(|key| key.starts_with("PASTA_FASTA_"));
        for key in foreign.chain(["RUST_LOG".to_owned()]) {
            command.env_remove(key);
        }
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn()?;
        let name = self.name.to_owned();
        let mut service = Service { child, name, port: self.port, log, bound: Duration::ZERO, ready: Duration::ZERO };
        service.await_ready(began).await?;
        Ok(service)
    }
}

/// A port nobody listens on.
pub fn free_port() -> Try<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Service {
    async fn await_ready(&mut self, began: Instant) -> Try<()> {
        let ready = request("GET", "/readyz", &[("connection", "close")], "");
        while began.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                return Err(
                    format!("the service ended before it was ready: {status}, see {}", self.log.display()).into()
                );
            }
            if self.bound.is_zero() && TcpStream::connect(self.address()).await.is_ok() {
                self.bound = began.elapsed();
            }
            if let Ok(mut conn) = Conn::open(self.address(), None).await
                && conn.call(&ready).await.is_ok_and(|answer| answer.status == 200)
            {
                self.ready = began.elapsed();
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("the service was not ready within {READY_WITHIN:?}").into())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn client(&self) -> Client {
        Client::new(self.address(), None)
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> Try<()> {
        proc::send(self.child.id(), signal)
    }

    /// Kills it as the kernel would, and collects it.
    pub fn kill(&mut self) -> Try<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    pub async fn ended(&mut self, within: Duration) -> Try<(ExitStatus, Duration)> {
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, began.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(format!("the service did not end within {within:?}").into())
    }

    /// Whether it is still there.
    pub fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lines of its log that tell of a panic.
    pub fn panics(&self) -> usize {
        panics(&self.log)
    }
}

fn panics(log: &Path) -> usize {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter(|line| line.contains("panicked")).count()
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
