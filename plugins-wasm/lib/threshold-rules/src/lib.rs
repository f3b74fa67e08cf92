//! The rule language of inspection reports (spec/tools-behaviour/12-inspection-report.md).
//!
//! ```
//! use serde_json::json;
//! use threshold_rules::Rule;
//!
//! let rule: Rule = r#"$.MOUNTS[FS_TYPE != "nfs"].USED > 80"#.parse().unwrap();
//! let data = json!({"MOUNTS": [{"FS_TYPE": "ext4", "USED": 91}, {"FS_TYPE": "nfs", "USED": 99}]});
//! let verdict = rule.evaluate(&data);
//! assert_eq!(verdict.matches.unwrap()[0].path, "$.MOUNTS[0].USED");
//! ```
//!
//! Pure: nothing here knows the sandbox.

mod ast;
mod evaluate;
mod parse;
mod token;

pub use evaluate::{Match, Verdict};
pub use parse::SyntaxError;

/// A rule that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule(ast::Condition);
