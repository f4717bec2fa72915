//! A private Postgres for the tests that need one: made from the installed binaries, reached by a socket in a folder of
//! its own, with fsync, and gone with the process that started it, however that ends.
//!
//! The files of an empty cluster are made once per machine and copied. Each test process has a server of its own, so a
//! test may kill it. It deliberately installs nothing: `scripts/test` does.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pasta_fasta::store::postgres::Postgres;
use pasta_fasta::store::{Backend, Capacity, NodeRow};
use tokio_postgres::NoTls;

use crate::backend_contract::Database;

const NAMES: &[&str] = &["sequential", "asyncio", "multithreading", "multiprocessing"];
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// Whom the server runs as if the tests are run by root, whom it refuses.
const UNPRIVILEGED: &str = "nobody";
const SETTINGS: &str = "listen_addresses = ''\nmax_connections = 500\nshared_buffers = 64MB\nfsync = on\n";

/// How often it is asked whether it lets somebody in, and how long in between: a minute, for a busy machine.
const STARTS_IN_LOOKS: usize = 3_000;
const LOOK: Duration = Duration::from_millis(20);

/// The server.
pub(crate) struct Server {
    folder: PathBuf,
    postmaster: Mutex<Option<Child>>,
    /// Where it listens, if it does, and what its socket is called after.
    port: AtomicU16,
    /// Starts processes from a thread that lives as long as this process: they are sent a signal when it ends.
    starts: mpsc::Sender<(PathBuf, mpsc::Sender<Child>)>,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command run as somebody Postgres accepts, and ended (fast shutdown) when the thread that started it ends.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", UNPRIVILEGED, "--regid", "nogroup", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "INT"]).arg(program).current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::null());
    command
}

/// The newest server installed here.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|entries| entries.flatten().map(|entry| entry.path()));
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.ok().and_then(|versions| versions.max_by_key(number)).map(|path| path.join("bin"));
    newest.unwrap_or_else(|| {
        let told =
            Command::new("pg_config").arg("--bindir").output().expect("Postgres is installed (scripts/test does)");
        String::from_utf8_lossy(&told.stdout).trim().into()
    })
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A folder that belongs to whom the server runs as.
fn folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    if is_root() {
        run(Command::new("chown").arg(format!("{UNPRIVILEGED}:nogroup")).arg(path));
    }
}

impl Server {
    /// The one of this process.
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let base = std::env::temp_dir().join(format!("pasta-fasta-postgres-{}", rustix::process::geteuid().as_raw()));
        folder(&base);
        let lock = File::create(base.join("lock")).unwrap();
        lock.lock().unwrap();
        forget_dead_runs(&base);
        let template = base.join(format!("template-{}", binaries().to_string_lossy().replace('/', "_")));
        if !template.join("done").exists() {
            let _ = fs::remove_dir_all(&template);
            let mut initdb = unprivileged(&binaries().join("initdb"));
            initdb.args(["-A", "trust", "-U", "pasta", "-E", "UTF8", "--no-locale", "--wal-segsize=4", "-D"]);
            run(initdb.arg(&template));
            fs::write(template.join("done"), "").unwrap();
        }
        drop(lock);
        let own = base.join(format!("run-{}", std::process::id()));
        let _ = fs::remove_dir_all(&own);
        run(Command::new("cp").arg("-a").args([&template, &own]));
        let settings = fs::read_to_string(own.join("postgresql.conf")).unwrap();
        let sockets = format!("unix_socket_directories = '{}'\n", own.display());
        fs::write(own.join("postgresql.conf"), settings + SETTINGS + &sockets).unwrap();
        let (starts, inbox) = mpsc::channel::<(PathBuf, mpsc::Sender<Child>)>();
        std::thread::spawn(move || {
            for (folder, started) in inbox {
                let log = File::options().append(true).create(true).open(folder.join("log")).unwrap();
                let mut postgres = unprivileged(&binaries().join("postgres"));
                let _ = started.send(postgres.arg("-D").arg(&folder).stderr(log).spawn().unwrap());
            }
        });
        let server = Self { folder: own, postmaster: Mutex::new(None), port: AtomicU16::new(5432), starts };
        server.up();
        server
    }

    /// Starts it.
    pub(crate) fn up(&self) {
        let (started, child) = mpsc::channel();
        self.starts.send((self.folder.clone(), started)).unwrap();
        *self.postmaster.lock().unwrap() = Some(child.recv().unwrap());
    }

    /// Ends it as a power failure of its processes would: nothing is written any more (`pg_ctl stop -m immediate`).
    pub(crate) fn down(&self) {
        let mut child = self.postmaster.lock().unwrap().take().expect("it is up");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        child.wait().unwrap();
    }

    /// A copy of it that receives all it writes, for as long as this process lives.
    pub(crate) fn standby(&self) {
        let folder = self.folder.with_file_name(format!("run-{}-standby", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let mut copy = unprivileged(&binaries().join("pg_basebackup"));
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&folder);
        run(copy.args(["--username=pasta", &self.on_port(), "--host"]).arg(&self.folder));
        // Of the one it is a copy of: what locks its socket, and where it listens. In settings the last word counts.
        fs::remove_file(folder.join(format!(".s.PGSQL.{}.lock", self.port.load(Ordering::Relaxed)))).unwrap();
        let mut settings = File::options().append(true).open(folder.join("postgresql.conf")).unwrap();
        writeln!(settings, "listen_addresses = ''\nunix_socket_directories = '{}'", folder.display()).unwrap();
        let (started, child) = mpsc::channel();
        self.starts.send((folder, started)).unwrap();
        // Ends with the thread that started it.
        drop(child.recv().unwrap());
    }

    /// Starts it anew with these settings, listening on a port of this machine, which is the answer.
    pub(crate) fn listening(&self, settings: &str, access: &str) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.down();
        let mut file = File::options().append(true).open(self.folder.join("postgresql.conf")).unwrap();
        writeln!(file, "listen_addresses = '127.0.0.1'\nport = {free}\n{settings}").unwrap();
        let hba = self.folder.join("pg_hba.conf");
        let others = fs::read_to_string(&hba).unwrap();
        fs::write(&hba, format!("{access}\n{others}")).unwrap();
        self.port.store(free, Ordering::Relaxed);
        self.up();
        free
    }

    /// A file beside its own that only it may read, as keys must be.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        run(Command::new("chmod").arg("600").arg(&path));
        if is_root() {
            run(Command::new("chown").arg(format!("{UNPRIVILEGED}:nogroup")).arg(&path));
        }
        path
    }

    /// A copy of it being made so slowly that it is not done before the test is, with all it writes meanwhile.
    pub(crate) fn backup(&self) -> Child {
        let folder = self.folder.with_file_name(format!("run-{}-backup", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let mut copy = unprivileged(&binaries().join("pg_basebackup"));
        copy.args(["--max-rate=32", "--checkpoint=fast", "--wal-method=stream", "--no-sync", "--pgdata"]).arg(&folder);
        // Its own child, which receives what is written meanwhile, outlives it until the server ends.
        copy.stderr(Stdio::null());
        copy.args(["--username=pasta", &self.on_port(), "--host"]).arg(&self.folder).spawn().unwrap()
    }

    fn on_port(&self) -> String {
        format!("--port={}", self.port.load(Ordering::Relaxed))
    }

    /// What it has written down.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let host = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://pasta@{host}:{}/{database}", self.port.load(Ordering::Relaxed))
    }

    /// A connection of a stranger, once it lets one in.
    pub(crate) async fn visitor(&self, database: &str) -> tokio_postgres::Client {
        let mut refused = None;
        for _ in 0..STARTS_IN_LOOKS {
            match tokio_postgres::connect(&self.url(database), NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => refused = Some(error),
            }
            // It says in no other way that it is ready.
            tokio::time::sleep(LOOK).await;
        }
        panic!("{database}: {refused:?}")
    }
}

/// Folders of test processes that are no more.
fn forget_dead_runs(base: &Path) {
    for entry in fs::read_dir(base).unwrap().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-")?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// An empty database.
#[derive(Clone)]
pub(crate) struct Kitchen {
    pub(crate) name: String,
    is_made: bool,
}

impl Kitchen {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self { name: format!("kitchen_{}", COUNT.fetch_add(1, Ordering::Relaxed)), is_made: false }
    }

    /// A new one, made.
    pub(crate) async fn opened() -> Self {
        let mut kitchen = Self::new();
        kitchen.made().await;
        kitchen
    }

    pub(crate) fn url(&self) -> String {
        Server::shared().url(&self.name)
    }

    /// Makes it, if that has not been done.
    pub(crate) async fn made(&mut self) -> &Self {
        if !self.is_made {
            let visitor = Server::shared().visitor("postgres").await;
            visitor.batch_execute(&format!("CREATE DATABASE {}", self.name)).await.unwrap();
            self.is_made = true;
        }
        self
    }

    /// A stranger's connection to it.
    pub(crate) async fn visitor(&self) -> tokio_postgres::Client {
        Server::shared().visitor(&self.name).await
    }

    /// A node of this name on it.
    pub(crate) async fn node(&self, name: &str, lease: Duration) -> Postgres {
        Postgres::connect(&self.url(), node_row(name), lease, NAMES).await.unwrap()
    }
}

pub(crate) fn node_row(name: &str) -> NodeRow {
    NodeRow {
        node: name.into(),
        version: "0.0.0".to_owned(),
        started_us: 0,
        seen_us: 0,
        models: NAMES.iter().map(|name| (*name).to_owned()).collect(),
        capacity: Capacity { cores: 1, threads: 2, children: 3 },
        held: 0,
    }
}

impl Database for Kitchen {
    fn open(&mut self) -> BoxFuture<'_, std::sync::Arc<dyn Backend>> {
        Box::pin(async {
            let node = self.made().await.node("here", LEASE).await;
            std::sync::Arc::new(node) as std::sync::Arc<dyn Backend>
        })
    }

    fn pass_time(&mut self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let pass = format!(
                "UPDATE orders SET lease_until = lease_until - '{0} us'::interval, expires_at = expires_at - '{0} us'::interval, \
                 ended_at = ended_at - '{0} us'::interval, accepted_at = accepted_at - '{0} us'::interval; \
                 UPDATE comparisons SET seen = seen - '{0} us'::interval",
                time.as_micros()
            );
            self.visitor().await.batch_execute(&pass).await.unwrap();
        })
    }
}
