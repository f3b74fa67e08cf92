//! The machine: limits, permissions and time.

use std::fs;
use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_store::Home;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::{getegid, geteuid, getgroups};

use super::check::Check;
use crate::config::{Config, HostKeys};

/// Open files that a run of many nodes wants; see `run::limits`.
const OPEN_FILES: u64 = 65_536;

/// Processes below which a run of native tools on many nodes gets into trouble.
const PROCESSES: u64 = 4096;

const PING_RANGE: &str = "/proc/sys/net/ipv4/ping_group_range";

/// `CAP_NET_RAW` in the effective set of `/proc/self/status`.
const NET_RAW: u64 = 1 << 13;

pub(super) fn checks(home: &Home, config: Option<&Config>) -> Vec<Check> {
    vec![open_files(), processes(), address_space(), ping(), time_zone(), known_hosts(home, config)]
}

fn shown(limit: u64) -> String {
    if limit == RLIM_INFINITY { "unlimited".to_owned() } else { limit.to_string() }
}

fn hard_limit(resource: Resource) -> u64 {
    // It can only fail for a resource that the kernel does not know.
    getrlimit(resource).map_or(RLIM_INFINITY, |(_, hard)| hard)
}

fn open_files() -> Check {
    let hard = hard_limit(Resource::RLIMIT_NOFILE);
    if hard >= OPEN_FILES {
        return Check::ok("open-files", format!("up to {}", shown(hard)));
    }
    Check::warning(
        "open-files",
        format!("at most {hard}: runs of many nodes at once may have too few"),
        format!("raise the hard limit to {OPEN_FILES} (LimitNOFILE= of the service, or limits.conf)"),
    )
}

fn processes() -> Check {
    let hard = hard_limit(Resource::RLIMIT_NPROC);
    if hard >= PROCESSES || geteuid().is_root() {
        return Check::ok("processes", format!("up to {}", shown(hard)));
    }
    Check::warning(
        "processes",
        format!("at most {hard} for this account: native tools on many nodes at once may not start"),
        format!("raise the limit to {PROCESSES} (LimitNPROC= of the service, or limits.conf)"),
    )
}

fn address_space() -> Check {
    let hard = hard_limit(Resource::RLIMIT_AS);
    if hard == RLIM_INFINITY {
        return Check::ok("address-space", "unlimited");
    }
    Check::warning(
        "address-space",
        format!(
            "limited to {} MiB: tools in the sandbox can not use their pool of memory and start slower",
            hard >> 20
        ),
        "take the limit away (ulimit -v unlimited); the sandbox has limits of its own",
    )
}

/// Echo requests without root: the group must be in a range that the administrator sets.
fn ping() -> Check {
    let name = "icmp";
    if has_net_raw() {
        return Check::ok(name, "this account may send echo requests");
    }
    let Ok(text) = fs::read_to_string(PING_RANGE) else {
        return Check::skipped(name, format!("{PING_RANGE} can not be read"));
    };
    let mut bounds = text.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(first)), Some(Ok(last))) = (bounds.next(), bounds.next()) else {
        return Check::skipped(name, format!("{PING_RANGE} is {text:?}"));
    };
    let groups = getgroups().unwrap_or_default().into_iter().chain([getegid()]);
    let mut inside = groups.map(nix::unistd::Gid::as_raw).filter(|group| (first..=last).contains(group));
    match inside.next() {
        Some(group) => Check::ok(name, format!("group {group} may send echo requests")),
        None => Check::warning(
            name,
            format!(
                "no group of this account is in net.ipv4.ping_group_range ({first} to {last}): pings fail"
            ),
            format!(
                "as root: sysctl -w net.ipv4.ping_group_range=\"{0} {0}\", and the same in /etc/sysctl.d",
                getegid()
            ),
        ),
    }
}

fn has_net_raw() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set & NET_RAW != 0)
}

/// Log lines and maintenance windows are in local time.
fn time_zone() -> Check {
    match TimeZone::try_system() {
        Ok(zone) => {
            let now = Timestamp::now().to_zoned(zone);
            Check::ok(
                "time-zone",
                format!("{}, now {}", zone_name(&now), now.strftime("%Y-%m-%d %H:%M:%S %:z")),
            )
        }
        Err(error) => Check::warning(
            "time-zone",
            format!("it can not be found out ({error}), so times are in UTC"),
            "set TZ, or link /etc/localtime to a file of /usr/share/zoneinfo (package tzdata)",
        ),
    }
}

fn zone_name(now: &jiff::Zoned) -> String {
    now.time_zone().iana_name().map_or_else(|| "a zone without a name".to_owned(), str::to_owned)
}

fn known_hosts(home: &Home, config: Option<&Config>) -> Check {
    let name = "ssh";
    let Some(config) = config else { return Check::skipped(name, "the configuration can not be read") };
    let settings = &config.autoexec;
    let path = settings.known_hosts.clone().unwrap_or_else(|| home.root().join("conf/known_hosts"));
    match (settings.host_keys, count_hosts(&path)) {
        (HostKeys::Accept, _) => Check::warning(
            name,
            "host keys of targets are not checked (ssh.hostkeys = accept): anybody in between can read passwords",
            "set ssh.hostkeys = tofu, or strict with all hosts recorded",
        ),
        (_, Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Check::failed(
            name,
            ExitCode::Files,
            format!("{}: {error}", path.display()),
            "let this account read and write it",
        ),
        (HostKeys::Strict, Err(_) | Ok(0)) => Check::failed(
            name,
            ExitCode::BadInput,
            format!(
                "only recorded hosts are connected to (ssh.hostkeys = strict), and none is in {}",
                path.display()
            ),
            "record them (ssh-keyscan over a trusted network), or set ssh.hostkeys = tofu",
        ),
        (HostKeys::Tofu, Err(_) | Ok(0)) => Check::ok(
            name,
            format!("no host is recorded yet in {}; the first contact records one", path.display()),
        ),
        (_, Ok(count)) => Check::ok(name, format!("{count} line(s) of host keys in {}", path.display())),
    }
}

fn count_hosts(path: &Path) -> std::io::Result<usize> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).count())
}
