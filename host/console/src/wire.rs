//! Forms of single fields: the server's 0 and 1, names that are checked when they are read back.

use autoexec_model::{JobId, PhaseName};
use serde::de::{self, Deserialize, Deserializer};

/// A `bool` written as 0 or 1.
pub(crate) mod zero_one {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
    pub(crate) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(u8::from(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        Ok(u8::deserialize(deserializer)? != 0)
    }
}

/// Reads a job id back from the outbox file.
pub(crate) fn job_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JobId, D::Error> {
    JobId::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Reads a phase name back from the outbox file.
pub(crate) fn phase_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhaseName, D::Error> {
    PhaseName::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
}
