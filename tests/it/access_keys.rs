//! API keys from file and variable: what is accepted, what is refused before anything listens, and what is never said.
//!
//! Which route needs what is in `access_routes.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;

use crate::access_routes::READER;
use crate::harness::{self, House, eventually};

const VARIABLE: &str = "PASTA_FASTA_API_KEYS";
/// `printf %s 0123456789abcdef-hashed | sha256sum`
const HASHED: (&str, &str) =
    ("0123456789abcdef-hashed", "sha256:e324ea6132f538499ecb8c76e08fe2a0157d21655cce5dbcca8d826dcad7bdcd");

/// A file of this test's own, readable by its owner only.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn serve(flags: &[&str], keys: Option<&str>) -> Output {
    let mut command = Command::new(harness::BINARY);
    let bind: &[&str] = if flags.contains(&"--bind") { &[] } else { &["--bind", "127.0.0.1:0"] };
    command.arg("serve").args(bind).args(flags).stdin(Stdio::null());
    if let Some(keys) = keys {
        command.env(VARIABLE, keys);
    }
    command.output().expect("the binary runs")
}

/// The one line a refusal is.
pub(crate) fn refused(flags: &[&str], keys: Option<&str>) -> String {
    let output = serve(flags, keys);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{flags:?} {keys:?}: {said}");
    assert!(output.stdout.is_empty(), "it did not listen");
    said
}

async fn status(house: &House, key: &str) -> u16 {
    house.request(Method::GET, "/orders").bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[test]
fn a_line_that_is_no_key_is_refused_with_its_number_and_without_its_text() {
    let long = format!("ci orders:read {}", "x".repeat(257));
    let bad = [
        "orders:read 0123456789abcdef",
        "ci orders:read 0123456789abcdef more",
        "ci orders:read 0123456789abcde",
        "ci orders:read 0123456789\u{e9}abcdef",
        "ci orders:write,orders:all 0123456789abcdef",
        "ci orders:read, 0123456789abcdef",
        "ci ORDERS:READ 0123456789abcdef",
        "c/i orders:read 0123456789abcdef",
        "ci orders:read sha256:0123456789abcdef",
        "ci orders:read sha256:zz0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "ci orders:read other-secret-0123456789",
        &long,
    ];
    for line in bad {
        let path = file("bad-keys", &format!("# keys\n\nfirst admin other-secret-0123456789\n{line}\n"));
        let said = refused(&["--api-keys-file", path.to_str().unwrap()], None);
        assert!(said.contains("bad-keys, line 4: "), "{line}: {said}");
        assert!(!said.contains("0123456789") && said.lines().count() == 1, "{said}");
        let said = refused(&[], Some(&format!("first admin other-secret-0123456789;{line}")));
        assert!(said.contains("PASTA_FASTA_API_KEYS, entry 2: ") && !said.contains("0123456789"), "{said}");
    }
}

#[test]
fn keys_that_were_promised_and_are_not_there_do_not_open_the_house() {
    for keys in ["", " ", "# none", "\n;\n"] {
        assert!(refused(&[], Some(keys)).contains("PASTA_FASTA_API_KEYS holds no API key"));
    }
    let path = file("empty-keys", "# none yet\n");
    assert!(refused(&["--api-keys-file", path.to_str().unwrap()], None).contains("holds no API key"));
    assert!(refused(&["--api-keys-file", "/nowhere/keys"], None).contains("/nowhere/keys"));
    let path = file("large-keys", &"#".repeat(1024 * 1024 + 1));
    assert!(refused(&["--api-keys-file", path.to_str().unwrap()], None).contains("larger than"));
}

#[tokio::test]
async fn plain_secrets_that_every_user_may_read_are_refused_and_hashes_are_not() {
    let (secret, hash) = HASHED;
    let plain = file("plain-keys", &format!("ci orders:read {secret}\n"));
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&["--api-keys-file", plain.to_str().unwrap()], None).contains("chmod o-r"));
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).unwrap();
    let hashed = file("hashed-keys", &format!("ci orders:read {hash}\r\n"));
    fs::set_permissions(&hashed, fs::Permissions::from_mode(0o644)).unwrap();
    for path in [plain, hashed] {
        let house = harness::open_with(&["--api-keys-file", path.to_str().unwrap()]);
        assert_eq!((status(&house, secret).await, status(&house, hash).await), (200, 401), "{}", path.display());
    }
}

#[tokio::test]
async fn file_and_variable_are_one_list_and_a_name_may_have_two_keys() {
    let path = file("both-keys", "ci orders:read from-the-file-0123\nci orders:read from-the-file-4567\n");
    let mut command = Command::new(harness::BINARY);
    let house = harness::open_as(
        command.env(VARIABLE, "board orders:read from-the-variable\nnight admin other-variable-42"),
        &["--api-keys-file", path.to_str().unwrap()],
    );
    for key in ["from-the-file-0123", "from-the-file-4567", "from-the-variable", "other-variable-42"] {
        assert_eq!(status(&house, key).await, 200, "{key}");
    }
    assert_eq!(status(&house, "from-the-file-89ab").await, 401);
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_a_bad_one_changes_nothing() {
    let path = file("changing-keys", "old orders:read old-secret-01234567\n");
    let log = file("hangup-log", "");
    let mut command = Command::new(harness::BINARY);
    command.stderr(fs::File::create(&log).unwrap());
    let house = harness::open_as(&mut command, &["--api-keys-file", path.to_str().unwrap()]);
    let hang_up = || {
        let sent = Command::new("kill").args(["-HUP", &house.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    };
    assert_eq!(status(&house, "old-secret-01234567").await, 200);
    fs::write(&path, "new orders:read new-secret-01234567\n").unwrap();
    hang_up();
    let soon = Duration::from_secs(30);
    eventually(soon, "the old key is withdrawn", async || status(&house, "old-secret-01234567").await == 401).await;
    assert_eq!(status(&house, "new-secret-01234567").await, 200);
    fs::write(&path, "new orders:read\n").unwrap();
    hang_up();
    let said = || fs::read_to_string(&log).unwrap();
    eventually(soon, "it says so", async || said().contains("API keys stay as they were")).await;
    assert!(said().contains("line 1: "), "{}", said());
    assert_eq!(status(&house, "new-secret-01234567").await, 200);
    fs::write(&path, "new orders:read new-secret-01234567\nmore orders:read more-secret-0123456\n").unwrap();
    hang_up();
    eventually(soon, "the added key counts", async || status(&house, "more-secret-0123456").await == 200).await;
    assert_eq!(status(&house, "new-secret-01234567").await, 200);
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_withdrawn_and_no_other_does() {
    let (kept, gone) = ("kept-secret-01234567", "gone-secret-01234567");
    let all = format!("one orders:read,orders:write {kept}\none orders:read,orders:write {gone}\n");
    let path = file("streaming-keys", &all);
    let house = harness::open_with(&["--api-keys-file", path.to_str().unwrap()]);
    let placed = house.request(Method::POST, "/orders").bearer_auth(kept);
    let placed = placed.json(&serde_json::json!({"model": "asyncio", "io_ms": 3_600_000})).send().await.unwrap();
    let order: serde_json::Value = placed.json().await.unwrap();
    let follow = async |key: &str, path: &str| {
        let stream = house.request(Method::GET, path).bearer_auth(key).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let paths = ["/events".to_owned(), harness::link(&order, "events")];
    let (mut ending, mut lasting) = (Vec::new(), Vec::new());
    for path in &paths {
        ending.push(follow(gone, path).await);
        lasting.push(follow(kept, path).await);
    }
    // The same name still has a key: it is the secret that is withdrawn, not the client.
    fs::write(&path, format!("one orders:read,orders:write {kept}\n")).unwrap();
    let sent = Command::new("kill").args(["-HUP", &house.pid().to_string()]).status();
    assert!(sent.unwrap().success());
    for stream in ending {
        let told = tokio::time::timeout(Duration::from_secs(30), stream.text()).await.expect("it ends").unwrap();
        assert!(told.trim_end().ends_with("event: closing\ndata: {}"), "{told}");
    }
    let canceled =
        house.request(Method::POST, &harness::link(&order, "cancel")).bearer_auth(kept).send().await.unwrap();
    assert_eq!(canceled.status(), 202);
    let told = tokio::time::timeout(Duration::from_secs(30), lasting.remove(1).text()).await.expect("it ends").unwrap();
    assert!(told.contains("event: order.canceled") && !told.contains("event: closing"), "{told}");
}

#[test]
fn other_addresses_need_keys_or_a_word() {
    assert!(refused(&["--bind", "0.0.0.0:0"], None).contains("--api-keys-file"));
    assert!(refused(&["--bind", "[::]:0"], None).contains("--insecure"));
    // An address that no machine has (RFC 5737): with keys it gets as far as listening, and says what is lacking.
    let elsewhere = &["--bind", "192.0.2.1:0"];
    let keys = "ci orders:read 0123456789abcdef";
    let said = refused(elsewhere, Some(keys));
    assert!(said.contains("cannot listen") && said.contains("API keys travel in the clear"), "{said}");
    let said = refused(&[elsewhere, &["--insecure"][..]].concat(), Some(keys));
    assert!(said.contains("cannot listen") && !said.contains("in the clear"), "{said}");
}

#[tokio::test]
async fn no_secret_is_ever_said() {
    let log = file("whole-output", "");
    let output = || Stdio::from(fs::File::options().append(true).open(&log).unwrap());
    let wrong = "a-wrong-secret-0123456789";
    let mut child = Command::new(harness::BINARY)
        .args(["serve", "--bind", "127.0.0.1:0", "--log", "trace"])
        .env(VARIABLE, format!("reader orders:read {READER}"))
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    eventually(Duration::from_secs(30), "it listens", async || said().contains("/openapi.yaml)")).await;
    let text = said();
    let base = text.lines().find_map(|line| line.trim().strip_prefix("page")).unwrap().trim().trim_end_matches('/');
    let client = reqwest::Client::new();
    let mut answers = String::new();
    for path in ["/orders", "/stats", "/metrics", "/nothing", "/limits"] {
        for key in [READER, wrong] {
            for url in [format!("{base}{path}"), format!("{base}{path}?key={key}")] {
                for method in [Method::GET, Method::POST] {
                    let sent = client.request(method, &url).bearer_auth(key).send().await.unwrap();
                    answers += &format!("{:?}\n{}\n", sent.headers().clone(), sent.text().await.unwrap());
                }
            }
        }
    }
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(ended.success() && child.wait().unwrap().success());
    for secret in [READER, wrong] {
        assert!(!said().contains(secret), "in the log: {secret}");
        assert!(!answers.contains(secret), "in an answer: {secret}");
    }
}
