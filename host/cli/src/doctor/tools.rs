//! Policy, trusted keys, lock and tools.

use autoexec_confine::Support;
use autoexec_events::ExitCode;
use autoexec_grants::Mode;
use autoexec_store::Home;
use autoexec_supply::{Rules, Strictness, TrustedKeys};

use super::check::Check;
use crate::config::Config;
use crate::tool::{self, Health};

pub(super) fn checks(home: &Home, config: Option<&Config>) -> Vec<Check> {
    let mut checks = vec![policy(home)];
    let strictness = config.map_or(Strictness::default(), |config| config.autoexec.signatures);
    let trusted = TrustedKeys::load(&home.trust());
    checks.push(match &trusted {
        Ok(trusted) => signatures(strictness, trusted, home),
        Err(error) => Check::failed(
            "signatures",
            ExitCode::BadInput,
            error.to_string(),
            "correct or remove the file; until then no job is run",
        ),
    });
    let lock = tool::read_lock(home);
    match (trusted, lock) {
        (_, Err(error)) => checks.push(Check::failed(
            "lock",
            ExitCode::BadInput,
            error.text(),
            "until it can be read no job is run",
        )),
        (trusted, Ok(lock)) => {
            let rules = Rules { strictness, trusted: trusted.unwrap_or_default(), lock };
            checks.extend(installed(home, &rules));
        }
    }
    checks.push(landlock());
    checks
}

fn policy(home: &Home) -> Check {
    let name = "policy";
    match crate::policy::of_home(home) {
        Err(error) => Check::failed(
            name,
            ExitCode::BadInput,
            error.text(),
            "correct it; until then no job is run. `autoexec policy check` shows the same",
        ),
        Ok(policy) if policy.is_built_in() => {
            Check::ok(name, "the built-in policy holds; there is none in conf/policy")
        }
        Ok(policy) if policy.mode() != Mode::Enforce => Check::warning(
            name,
            format!("{} file(s), mode {:?}: nothing is denied", policy.files().len(), policy.mode())
                .to_lowercase(),
            "set `mode = \"enforce\"` when the audit log shows nothing unexpected any more",
        ),
        Ok(policy) => Check::ok(
            name,
            format!("{} file(s), {} grant(s), enforced", policy.files().len(), policy.grant_count()),
        ),
    }
}

fn signatures(strictness: Strictness, trusted: &TrustedKeys, home: &Home) -> Check {
    let name = "signatures";
    let count = trusted.iter().count();
    let add = "add a key with `autoexec tool trust add FILE`; see docs/supply-chain.md";
    match (strictness, count) {
        (Strictness::Require, 0) => Check::failed(
            name,
            ExitCode::BadInput,
            format!(
                "they are required, but no key is trusted in {}: no component can run",
                home.trust().display()
            ),
            add,
        ),
        (Strictness::Off, _) => Check::warning(
            name,
            "they are not looked at (plugins.signatures = off): whoever can write to plugins/wasm decides what runs",
            "set plugins.signatures = warn, or require once every tool is signed",
        ),
        (Strictness::Warn, 0) => {
            Check::warning(name, "no key is trusted, so no signature of a tool is checked (the default)", add)
        }
        (Strictness::Warn, count) => Check::warning(
            name,
            format!(
                "{count} trusted key(s); tools without a good signature still run (plugins.signatures = warn)"
            ),
            "set plugins.signatures = require once `autoexec tool verify` finds nothing",
        ),
        (Strictness::Require, count) => Check::ok(name, format!("required, by {count} trusted key(s)")),
    }
}

fn installed(home: &Home, rules: &Rules) -> Vec<Check> {
    let Health { looked_at, broken, unsigned, not_approved } = match tool::health(home, rules) {
        Ok(health) => health,
        Err(error) => {
            return vec![Check::failed(
                "tools",
                ExitCode::Files,
                error.text(),
                "let this account read the plugins",
            )];
        }
    };
    let mut checks = Vec::new();
    checks.push(if broken.is_empty() {
        Check::ok("tools", format!("{looked_at} component(s) and native tool(s) with a manifest can be read"))
    } else {
        Check::failed("tools", ExitCode::BadInput, broken.join("\n"), "install them again")
    });
    if !unsigned.is_empty() && !rules.trusted.is_empty() && rules.strictness != Strictness::Off {
        let text = format!("without a signature that holds: {}", unsigned.join(", "));
        let advice = "`autoexec tool verify` says why";
        checks.push(if rules.strictness == Strictness::Require {
            Check::failed("signed", ExitCode::BadInput, text, advice)
        } else {
            Check::warning("signed", text, advice)
        });
    }
    checks.push(match &rules.lock {
        None => Check::warning(
            "lock",
            "this home keeps no plugins.lock: an update may ask for anything the policy gives to its name",
            "approve what is installed with `autoexec tool lock`",
        ),
        Some(_) if not_approved.is_empty() => Check::ok("lock", "every tool is as plugins.lock has it"),
        Some(_) => Check::failed(
            "lock",
            ExitCode::BadInput,
            format!("not approved as they are, so they do not run: {}", not_approved.join(", ")),
            "look at the changes and approve them with `autoexec tool lock`",
        ),
    });
    checks
}

fn landlock() -> Check {
    let support = Support::of_this_kernel();
    if support.is_full() {
        let text = format!("{support}: native tools with a manifest and SSH connections run confined");
        return Check::ok("landlock", text);
    }
    Check::warning(
        "landlock",
        format!(
            "{support}: native tools run with all rights of the account, or not at all where the policy says \"confined\"; SSH \
             connections are confined as far as this kernel goes"
        ),
        "use Linux 6.7 or newer with `landlock` in the list of security modules (lsm=)",
    )
}
