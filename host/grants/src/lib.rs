//! Capabilities, site policies and the decisions they lead to. Pure: text and questions in, decisions out.
//!
//! A [`Policy`] is read from TOML files ([`Policy::parse`]); a site without any has [`Policy::built_in`]. It says what
//! a tool is linked with ([`Policy::effective`]) and, call by call with the real argument, whether it may go on
//! ([`Policy::decide`]). Requested ∩ granted ∩ ceiling; deny beats allow; no match is deny (architecture §7). The format
//! is described in `docs/policy.md`.
//!
//! ```
//! use autoexec_grants::{Access, Facts, Policy, Request};
//!
//! let text = r#"
//!     [[grant]]
//!     tools = ["basic/*"]
//!     net-probe = { hosts = ["*.example.com:443", "10.0.0.0/8:22"] }
//! "#;
//! let policy = Policy::parse(&[("site.toml", text)])?;
//! let probe = |host, port| {
//!     let access = Access::NetProbe { host, port, address: None };
//!     policy.decide(&Request { tool: "basic/tcpcheck", digest: None, access }, &Facts::default())
//! };
//! assert!(probe("www.example.com", 443).allowed());
//! assert_eq!(probe("10.1.2.3", 22).rule.map(|rule| rule.line), Some(4));
//! assert!(!probe("10.1.2.3", 23).allowed());
//! # Ok::<(), autoexec_grants::PolicyError>(())
//! ```

mod access;
mod address;
mod advice;
mod argument;
mod audit;
mod capability;
#[cfg(test)]
mod covering;
mod decide;
mod decision;
mod diff;
mod effective;
mod host;
mod learn;
mod limits;
mod lookup;
mod native;
mod parse;
mod path;
mod pattern;
mod policy;
mod refusal;
mod rule;
mod subject;
mod text;
mod tools;
mod words;

/// The tests from outside, in one binary with those from inside: one crate is compiled and linked, which mutation tests do a thousand
/// times over.
#[cfg(test)]
extern crate self as autoexec_grants;
#[cfg(test)]
#[path = "../tests/grants/main.rs"]
mod outside;

pub use access::{Access, Direction as DataDirection, Request, SecretDestination, TargetUse};
pub use address::AddressClass;
pub use advice::Advice;
pub use argument::ParsedAccess;
pub use audit::{Audit, AuditFinding, AuditedTool, Severity};
pub use capability::Capability;
pub use decide::Facts;
pub use decision::{Decision, DecisionOutcome, Reason, Terms};
pub use diff::{Change, Direction, diff};
pub use effective::{CapabilityGrant, EffectiveGrant};
pub use host::{Host, HostError};
pub use learn::{Learned, Seen, learn};
pub use limits::{Limit, ToolLimits};
pub use native::{NativeRule, NativeRun, NativeUse};
pub use parse::{PolicyError, PolicyProblem};
pub use path::PathError;
pub use pattern::{HostPattern, PatternError};
pub use policy::{BUILT_IN, BUILT_IN_NAME, Mode, Policy};
pub use refusal::Refusal;
pub use rule::RuleRef;
pub use text::{NamePattern, NamePatternError};
pub use tools::{ToolPattern, ToolPatternError};
pub use words::{WordsPattern, WordsPatternError};
