//! All tools at once, for `autoexec doctor`.

use autoexec_store::Home;
use autoexec_supply::{Kind, Rules, SignatureState, Standing};

use super::installed;
use crate::CliError;

/// What is wrong with the tools of a home, by name.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// How many could be looked at.
    pub(crate) looked_at: usize,
    /// Those that can not be used, with the reason.
    pub(crate) broken: Vec<String>,
    /// Components without a signature that holds.
    pub(crate) unsigned: Vec<String>,
    /// Tools that the lock does not approve as they are.
    pub(crate) not_approved: Vec<String>,
}

/// Looks at every tool that can be looked at.
pub(crate) fn health(home: &Home, rules: &Rules) -> Result<Health, CliError> {
    let mut health = Health::default();
    for place in installed::find_all(home)? {
        let name = place.name.clone();
        let tool = match installed::look_at(place, rules) {
            Ok(tool) => tool,
            Err(problem) => {
                health.broken.push(problem.to_string());
                continue;
            }
        };
        health.looked_at += 1;
        if matches!(tool.signature, Some(SignatureState::Missing | SignatureState::Broken(_))) {
            health.unsigned.push(name.clone());
        }
        // A native tool is held to the lock only once it is in it.
        match tool.standing {
            Some(Standing::New) if tool.pinned.kind == Kind::Component => health.not_approved.push(name),
            Some(Standing::Changed(_)) => health.not_approved.push(name),
            _ => {}
        }
    }
    Ok(health)
}
