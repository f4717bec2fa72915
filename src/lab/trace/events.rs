//! The events of a trace as JSON text.
//!
//! It deliberately knows no order: who writes them decides what they mean.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::Ns;

/// Process and thread ids that no kernel gives away (`pid_max` is at most 4,194,304): the dishes', and a lane for each.
pub(super) const DISHES: u64 = 10_000_000;
/// A span on a lane.
pub(super) struct Slice<'a> {
    pub(super) name: &'a str,
    pub(super) cat: &'static str,
    pub(super) from: Ns,
    pub(super) to: Ns,
    /// CPU time of its thread in it, as measured: the slice itself never goes beyond its step.
    pub(super) cpu: Option<Ns>,
    pub(super) pid: u64,
    pub(super) tid: u64,
}

/// Events as text, each behind a comma.
#[derive(Default)]
pub(super) struct Events(pub(super) String);

/// Milliseconds to the microsecond.
pub(super) fn ms(ns: Ns) -> f64 {
    (ns / 1_000) as f64 / 1e3
}

/// Microseconds, exact to the nanosecond: a float would round large ones.
fn ts(ns: Ns) -> String {
    format!("{}.{:03}", ns / 1_000, ns % 1_000)
}

fn quoted(text: &str) -> Value {
    Value::String(text.to_owned())
}

impl Events {
    pub(super) fn name(&mut self, what: &str, pid: u64, tid: u64, name: String) {
        let event = json!({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}});
        let _ = write!(self.0, ",\n{event}");
    }

    pub(super) fn slice(&mut self, s: Slice<'_>, args: &Value) {
        let (at, length) = (ts(s.from), ts(s.to - s.from));
        let on_cpu = s.cpu.map_or(String::new(), |cpu| format!(",\"tdur\":{}", ts(cpu)));
        let _ = write!(
            self.0,
            ",\n{{\"ph\":\"X\",\"name\":{},\"cat\":\"{}\",\"ts\":{at},\"dur\":{length}{on_cpu},\"pid\":{},\"tid\":{},\"args\":{args}}}",
            quoted(s.name),
            s.cat,
            s.pid,
            s.tid
        );
    }

    pub(super) fn pair(&mut self, name: &str, cat: &str, id: u64, (from, to): (Ns, Ns), args: &Value) {
        let head = format!("\"name\":{},\"cat\":\"{cat}\",\"id\":{id},\"pid\":{DISHES},\"tid\":{DISHES}", quoted(name));
        let _ = write!(self.0, ",\n{{\"ph\":\"b\",{head},\"ts\":{},\"args\":{args}}}", ts(from));
        let _ = write!(self.0, ",\n{{\"ph\":\"e\",{head},\"ts\":{}}}", ts(to));
    }

    pub(super) fn arrow(&mut self, id: u64, from: (Ns, u64, u64), to: (Ns, u64, u64)) {
        let mut end = |ph: &str, (at, pid, tid): (Ns, u64, u64), bind: &str| {
            let head = format!("\"ph\":\"{ph}\",\"name\":\"dispatch\",\"cat\":\"dispatch\",\"id\":{id}{bind}");
            let _ = write!(self.0, ",\n{{{head},\"ts\":{},\"pid\":{pid},\"tid\":{tid}}}", ts(at));
        };
        end("s", from, "");
        end("f", to, ",\"bp\":\"e\"");
    }

    pub(super) fn instant(&mut self, name: &str, at: Ns, tid: u64) {
        let (name, at) = (quoted(name), ts(at));
        let _ = write!(
            self.0,
            ",\n{{\"ph\":\"i\",\"s\":\"t\",\"name\":{name},\"cat\":\"event\",\"ts\":{at},\"pid\":{DISHES},\"tid\":{tid}}}"
        );
    }

    pub(super) fn counter(&mut self, name: &str, at: Ns, value: i64) {
        let at = ts(at);
        let _ = write!(
            self.0,
            ",\n{{\"ph\":\"C\",\"name\":\"{name}\",\"ts\":{at},\"pid\":{DISHES},\"tid\":{DISHES},\"args\":{{\"steps\":{value}}}}}"
        );
    }
}
