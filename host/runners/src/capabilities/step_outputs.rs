//! Values of a step's output over the nodes of the job (`step-outputs`).

use autoexec_sandbox::{NodeValue, OutputName, OutputQueryError};
use autoexec_store::{JobDir, Loaded, NodeOutput};

/// The value of an output over all nodes of the job, in the order of their keys.
pub(crate) fn collect(job_dir: &JobDir, output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
    let id = autoexec_model::OpId::new(output.operation_id.clone())
        .map_err(|error| OutputQueryError(error.to_string()))?;
    let mut values = Vec::new();
    for (key, path) in job_dir.node_output_files().map_err(|error| OutputQueryError(error.to_string()))? {
        let Loaded::Found(outputs) =
            NodeOutput::load(&path).map_err(|error| OutputQueryError(error.to_string()))?
        else {
            continue;
        };
        let value = outputs.operation(&id).and_then(|values| values.get(&output.name));
        let Some(value) = value.filter(|value| !value.is_null()) else { continue };
        let Some((host, port, resource_id)) = split_key(&key) else { continue };
        values.push(NodeValue { resource_id, host, port, value: value.clone() });
    }
    Ok(values)
}

/// `<host>-<port>-<resourceId>`; the host may hold dashes.
fn split_key(key: &str) -> Option<(String, Option<u16>, i64)> {
    let (rest, resource) = key.rsplit_once('-')?;
    let (host, port) = rest.rsplit_once('-')?;
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    Some((host.to_owned(), port.filter(|port| *port != 0), resource.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_keys_split_from_the_right() {
        assert_eq!(split_key("10.0.0.1--71"), Some(("10.0.0.1".to_owned(), None, 71)));
        assert_eq!(split_key("a-b-8080-7"), Some(("a-b".to_owned(), Some(8080), 7)));
        assert_eq!(split_key("local-0-0"), Some(("local".to_owned(), None, 0)));
        assert_eq!(split_key("nonsense"), None);
    }
}
