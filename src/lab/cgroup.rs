//! What the control groups of this process allow: memory, and how many threads and processes.
//!
//! Both versions (cgroups(7)), each with all groups above it: the least of them counts. Files are read through a function,
//! so that groups can be given in a test. It deliberately changes no group.

/// A limit by its name in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `memory.max`, `memory.limit_in_bytes` or `pids.max`.
    pub name: &'static str,
    /// How much.
    pub most: u64,
}

/// Version 1 says "no limit" as the largest number of whole pages in a signed word.
const NO_LIMIT: u64 = i64::MAX as u64 - 0xffff;

/// The limit of memory, if there is one.
pub(super) fn memory(read: &dyn Fn(&str) -> Option<String>) -> Option<Limit> {
    least(read, &[("", "memory.max"), ("memory", "memory.limit_in_bytes")])
}

/// The limit of threads and processes together, if there is one.
pub(super) fn tasks(read: &dyn Fn(&str) -> Option<String>) -> Option<Limit> {
    least(read, &[("", "pids.max"), ("pids", "pids.max")])
}

/// The least of these files, each of a controller (none is version 2), over the groups of this process.
fn least(read: &dyn Fn(&str) -> Option<String>, files: &[(&str, &'static str)]) -> Option<Limit> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = files.iter().flat_map(|(controller, name)| {
        let root = if controller.is_empty() { String::new() } else { format!("/{controller}") };
        // A container that sees its own group as the root may be told a path that is not there: the root is looked at too.
        let found = upwards(of(&groups, controller)).filter_map(move |group| {
            let text = read(&format!("/sys/fs/cgroup{root}{group}/{name}"))?;
            text.trim().parse().ok().filter(|most| *most < NO_LIMIT)
        });
        found.map(|most| Limit { name, most }).collect::<Vec<_>>()
    });
    limits.min_by_key(|limit| limit.most)
}

/// The path of the group that this controller has the process in.
fn of<'a>(groups: &'a str, controller: &str) -> &'a str {
    let line = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    line.unwrap_or("/").trim_end_matches('/')
}

/// A path without its end slash, and all above it to the root.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|slash| &path[..slash]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files.
    fn machine<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |path| files.iter().find(|(file, _)| *file == path).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_counts() {
        let files = [
            ("/proc/self/cgroup", "0::/user.slice/kitchen\n"),
            ("/sys/fs/cgroup/user.slice/kitchen/memory.max", "2000000000\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "1000000000\n"),
            ("/sys/fs/cgroup/user.slice/kitchen/pids.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/pids.max", "512\n"),
        ];
        let read = machine(&files);
        assert_eq!(memory(&read), Some(Limit { name: "memory.max", most: 1_000_000_000 }));
        assert_eq!(tasks(&read), Some(Limit { name: "pids.max", most: 512 }));
    }

    #[test]
    fn version_1_is_read_controller_by_controller_and_its_largest_number_is_none() {
        let groups = "9:name=systemd:/\n8:pids:/\n5:cpu,memory:/docker/abc\n0::/\n";
        let files = [
            ("/proc/self/cgroup", groups),
            ("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "536870912\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/pids/pids.max", "max\n"),
        ];
        let read = machine(&files);
        assert_eq!(memory(&read), Some(Limit { name: "memory.limit_in_bytes", most: 512 << 20 }));
        assert_eq!(tasks(&read), None);
    }

    #[test]
    fn a_container_that_sees_its_group_as_the_root_is_read_there() {
        let files = [("/proc/self/cgroup", "0::/../../outside\n"), ("/sys/fs/cgroup/memory.max", "64\n")];
        assert_eq!(memory(&machine(&files)).map(|limit| limit.most), Some(64));
        assert_eq!(memory(&machine(&[])), None);
    }
}
