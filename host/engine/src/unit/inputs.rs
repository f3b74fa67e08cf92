//! Resolves the values of an operation; asks the server for what only it knows.

use std::collections::BTreeSet;

use autoexec_model::Call;
use autoexec_model::reference::{Layers, Resolved, Template, resolve};
use autoexec_model::value::{InputSource, Inputs, Pending, ResolvedValue, ValueWarning, resolve_inputs};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{Unit, outputs};

impl Unit<'_> {
    /// Resolves options, then arguments. The error is a text for the node log.
    pub(super) async fn resolve_call(&self, call: &Call) -> Result<Inputs, String> {
        let values = call.options.iter().map(|option| &option.value);
        let mut values = values.chain(call.arguments.iter().map(|argument| &argument.value));
        // The local node's outputs may be large: they are read only where a reference may need them.
        let local = if values.any(may_name_an_output) { outputs::local(self.teller)? } else { Map::new() };
        let environment = self.teller.shared.environment.snapshot();
        let hidden = self.teller.shared.environment.hidden();
        let layers = self.layers(&environment, &hidden, &local);
        let key = &self.teller.shared.settings.key;
        let mut draft = resolve_inputs(call, &layers, key).map_err(|error| error.to_string())?;
        for (source, pending) in draft.take_pending() {
            let (value, warning) = self.complete(&source, pending).await?;
            draft.put(&source, value, warning);
        }
        let (inputs, warnings) = draft.finish().map_err(|error| error.to_string())?;
        for warning in warnings {
            self.warn(&warning.to_string());
        }
        Ok(inputs)
    }

    async fn complete(
        &self,
        source: &InputSource,
        pending: Pending,
    ) -> Result<(ResolvedValue, Option<ValueWarning>), String> {
        let services = &self.teller.shared.services;
        match pending {
            Pending::Account(request) => {
                let reply = services.account_password(&self.node, &request).await;
                let key = &self.teller.shared.settings.key;
                Ok(request.complete(reply.as_deref().map_err(Clone::clone), key))
            }
            Pending::Files(request) => {
                let mut names = IndexMap::new();
                for id in request.ids() {
                    let name = services.fetch_file(id).await.map_err(|error| format!("{source}: {error}"))?;
                    names.insert(id.to_owned(), name);
                }
                let name = |id: &str| {
                    names.get(id).cloned().ok_or_else(|| format!("{source}: file {id} is missing"))
                };
                Ok((request.complete(name)?, None))
            }
        }
    }

    /// Resolves the references of a text.
    pub(super) fn resolve_text(&self, text: &str) -> Result<Resolved, String> {
        let environment = self.teller.shared.environment.snapshot();
        let hidden = self.teller.shared.environment.hidden();
        let local = outputs::local(self.teller)?;
        let layers = self.layers(&environment, &hidden, &local);
        resolve(&Template::parse(text), &layers).map_err(|error| error.to_string())
    }

    fn layers<'b>(
        &'b self,
        environment: &'b IndexMap<String, String>,
        hidden_environment: &'b BTreeSet<String>,
        local: &'b Map<String, Value>,
    ) -> Layers<'b> {
        let settings = &self.teller.shared.settings;
        Layers {
            options: &settings.options,
            node_variables: &self.variables,
            environment,
            hidden_environment,
            node_outputs: &self.outputs,
            local_outputs: local,
            secret_outputs: &settings.secret_outputs,
        }
    }
}

/// Whether a value may hold a reference of the form `${phase.opId.key}`.
fn may_name_an_output(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${") && text.contains('.'),
        Value::Array(elements) => elements.iter().any(may_name_an_output),
        Value::Object(members) => members.values().any(may_name_an_output),
        _ => false,
    }
}
