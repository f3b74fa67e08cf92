//! Debian packages that building, testing and measuring need; installed only when missing, and never silently.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step;

/// A package and how to see that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    name: &'static str,
    /// A file of it.
    file: &'static str,
    purpose: &'static str,
}

/// Needed to build the host.
pub(crate) const BUILD: &[Package] = &[
    Package { name: "gcc", file: "/usr/bin/cc", purpose: "links, and compiles libssh2" },
    Package { name: "pkg-config", file: "/usr/bin/pkg-config", purpose: "finds OpenSSL for libssh2" },
    Package { name: "libssl-dev", file: "/usr/include/openssl/ssl.h", purpose: "OpenSSL for libssh2" },
];

/// Needed for SSH targets on this machine.
pub(crate) const SSHD: &[Package] = &[
    Package {
        name: "openssh-server",
        file: "/usr/sbin/sshd",
        purpose: "SSH targets; Debian also starts it as a service on port 22",
    },
    Package { name: "openssh-client", file: "/usr/bin/ssh-keygen", purpose: "keys for the SSH targets" },
];

/// Needed by the tests besides.
pub(crate) const TESTS: &[Package] = &[
    Package { name: "procps", file: "/usr/bin/ps", purpose: "tests look at processes" },
    Package { name: "snmpd", file: "/usr/sbin/snmpd", purpose: "tests ask an SNMP agent" },
    Package {
        name: "vsftpd",
        file: "/usr/sbin/vsftpd",
        purpose: "tests copy files by FTP; Debian also starts it as a service on port 21",
    },
    Package { name: "nodejs", file: "/usr/bin/node", purpose: "makes a component of JavaScript" },
    Package { name: "npm", file: "/usr/bin/npm", purpose: "installs componentize-js" },
    Package {
        name: "python3-venv",
        file: "/var/lib/dpkg/info/python3-venv.list",
        purpose: "installs componentize-py",
    },
    Package { name: "sudo", file: "/usr/bin/sudo", purpose: "tests run commands as another user" },
    Package { name: "acl", file: "/usr/bin/setfacl", purpose: "tests share directories with another user" },
    Package { name: "dropbear-bin", file: "/usr/sbin/dropbear", purpose: "a test logs in to this server" },
    Package {
        name: "libpam-oath",
        file: "/usr/share/doc/libpam-oath/copyright",
        purpose: "a test logs in to an account with one-time codes",
    },
    Package { name: "tcsh", file: "/usr/bin/tcsh", purpose: "a test logs in to an account with this shell" },
    Package { name: "fish", file: "/usr/bin/fish", purpose: "a login shell that is no POSIX shell" },
    Package { name: "zsh", file: "/usr/bin/zsh", purpose: "a login shell that is nearly a POSIX shell" },
];

/// Needed by the tests of target tools: the shells of targets, and what the tools look at or change in a scratch machine.
pub(crate) const TARGETS: &[Package] = &[
    Package { name: "busybox-static", file: "/bin/busybox", purpose: "target tools run in its shell" },
    Package { name: "ksh", file: "/bin/ksh", purpose: "target tools run in this shell" },
    Package { name: "mksh", file: "/bin/mksh", purpose: "target tools run in this shell" },
    Package { name: "iproute2", file: "/usr/sbin/ip", purpose: "addresses of a scratch machine" },
    Package { name: "iptables", file: "/usr/sbin/iptables", purpose: "a firewall in a scratch machine" },
    Package { name: "e2fsprogs", file: "/usr/sbin/mkfs.ext2", purpose: "a busy disk in a scratch machine" },
    Package {
        name: "nginx-light",
        file: "/usr/sbin/nginx",
        purpose: "a service that the host collector finds",
    },
    Package {
        name: "redis-server",
        file: "/usr/bin/redis-server",
        purpose: "a service that the host collector finds",
    },
    Package { name: "python3", file: "/usr/bin/python3", purpose: "scripts for targets are read by it" },
];

/// Needed to measure.
pub(crate) const BENCH: &[Package] =
    &[Package { name: "time", file: "/usr/bin/time", purpose: "peak memory of a process" }];

/// Needed to install the tools that SSH is measured beside.
pub(crate) const PYTHON: &[Package] = &[Package {
    name: "python3-venv",
    file: "/usr/lib/python3.11/ensurepip/__init__.py",
    purpose: "an environment for Ansible, pyinfra and parallel-ssh",
}];

/// Installs what is missing of `groups`.
pub(crate) fn ensure(groups: &[&[Package]]) -> Result<()> {
    let missing = missing(groups, |file| Path::new(file).exists());
    if missing.is_empty() {
        return Ok(());
    }
    step::say("these Debian packages are missing and will be installed:");
    for package in &missing {
        step::say(format_args!("  {} ({})", package.name, package.purpose));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    install(&names)
}

fn missing(groups: &[&[Package]], is_there: impl Fn(&str) -> bool) -> Vec<Package> {
    let all = groups.iter().flat_map(|group| group.iter());
    all.filter(|package| !is_there(package.file)).copied().collect()
}

/// Installs packages. Says what to do where we may not.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    let list = names.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this is not Debian: install what corresponds to the packages {list} and start again");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("only root may install packages: run `sudo apt-get install {list}` and start again");
    }
    let install = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["install", "-y", "-q", "--no-install-recommends"]).args(names);
        step::run(&mut apt)
    };
    if install().is_ok() {
        return Ok(());
    }
    // A fresh image has no package lists, an old one has stale ones.
    step::say("updating Debian's package lists");
    step::run(Command::new("apt-get").args(["update", "-q"]))?;
    install()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_installed() {
        let names = |packages: Vec<Package>| packages.iter().map(|package| package.name).collect::<Vec<_>>();
        assert_eq!(names(missing(&[BUILD, SSHD], |_| true)), [""; 0]);
        let found = missing(&[BUILD, SSHD], |file| file != "/usr/sbin/sshd");
        assert_eq!(names(found), ["openssh-server"]);
        let all = [BUILD, SSHD, TESTS, BENCH];
        let count = all.iter().map(|list| list.len()).sum::<usize>();
        assert_eq!(missing(&all, |_| false).len(), count);
        let with_targets = missing(&[BUILD, TARGETS], |file| file != "/bin/mksh");
        assert_eq!(names(with_targets), ["mksh"]);
    }
}
