//! The crate from outside.

mod advice;
mod arbitrary_input;
mod audit;
mod bounds;
mod capabilities;
mod covering;
mod decisions;
mod documentation;
mod every_capability;
mod learn;
mod patterns;
mod properties;
mod refusals;

use proptest::prelude::ProptestConfig;

/// As many cases as `PROPTEST_CASES` says, and without it these.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases, ..config } }
}
