//! Job-wide variables (`_autoexec_env`, `spec/workdir.md` §5.6) where no MongoDB keeps them.

use std::fmt;
use std::path::Path;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use crate::atomic::{self, PRIVATE};
use crate::json::Style;
use crate::read::load_object;
use crate::{Loaded, StoreError};

/// A job-wide variable. `Debug` does not show the value.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvValue {
    /// The value.
    pub value: String,
    /// Whether people must not see it.
    pub is_hidden: bool,
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvValue").field("is_hidden", &self.is_hidden).finish_non_exhaustive()
    }
}

/// All job-wide variables, in the order they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct JobEnv {
    /// Name → value.
    pub variables: IndexMap<String, EnvValue>,
}

impl JobEnv {
    /// Reads the variables of a job. Anything but a system error is an answer, see [`Loaded`].
    pub fn load(path: &Path) -> Result<Loaded<Self>, StoreError> {
        Ok(load_object(path)?.and_then(|object| {
            let variables = object
                .into_iter()
                .map(|(name, entry)| match env_value(&entry) {
                    Some(value) => Ok((name, value)),
                    None => {
                        Err(format!("variable `{name}`: expected {{\"value\": text, \"isHidden\": boolean}}"))
                    }
                })
                .collect::<Result<_, _>>()?;
            Ok(Self { variables })
        }))
    }

    /// Replaces the file.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        atomic::write_json(path, self, Style::Indented, PRIVATE)
    }
}

fn env_value(entry: &Value) -> Option<EnvValue> {
    Some(EnvValue {
        value: entry.get("value")?.as_str()?.to_owned(),
        is_hidden: entry.get("isHidden")?.as_bool()?,
    })
}
