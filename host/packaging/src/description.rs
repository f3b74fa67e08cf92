//! What a tool's own code says of its options and outputs.

use autoexec_manifest::{ArgumentDescriptor, OptionDescriptor, OutputDescriptor};
use serde::Deserialize;
use wasm_encoder::{Module, RawSection};
use wasmparser::{Parser, Payload};

use crate::PackagingError;

/// Custom sections that the SDK's derive macros write.
const OPTIONS: &str = "autoexec:options";
const OUTPUTS: &str = "autoexec:outputs";

/// Options and outputs as the code describes them; none of what it does not describe.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Named options.
    #[serde(default)]
    pub options: Option<Vec<OptionDescriptor>>,
    /// The free arguments.
    #[serde(default)]
    pub argument: Option<ArgumentDescriptor>,
    /// Outputs.
    #[serde(default)]
    pub outputs: Option<Vec<OutputDescriptor>>,
}

impl Description {
    /// Takes the description out of a core module; returns the module without it.
    pub fn take_from(core: &[u8]) -> Result<(Self, Vec<u8>), PackagingError> {
        let mut description = Self::default();
        let mut module = Module::new();
        let malformed = |error: wasmparser::BinaryReaderError| PackagingError::Core(error.to_string());
        for payload in Parser::new(0).parse_all(core) {
            let payload = payload.map_err(malformed)?;
            if let Payload::CustomSection(section) = &payload {
                match section.name() {
                    OPTIONS => {
                        description.options = Some(read("Options", section.data())?);
                        continue;
                    }
                    OUTPUTS => {
                        description.outputs = Some(read("Outputs", section.data())?);
                        continue;
                    }
                    _ => {}
                }
            }
            if let Some((id, range)) = payload.as_section() {
                let data =
                    core.get(range).ok_or_else(|| PackagingError::Core("a section is cut off".into()))?;
                module.section(&RawSection { id, data });
            }
        }
        Ok((description, module.finish()))
    }
}

/// Two sections of one name are one after another in the module, which is no JSON any more.
fn read<'a, T: Deserialize<'a>>(derive: &'static str, json: &'a [u8]) -> Result<Vec<T>, PackagingError> {
    serde_json::from_slice(json).map_err(|error| {
        if error.to_string().starts_with("trailing characters") {
            PackagingError::TwoDescriptions(derive)
        } else {
            PackagingError::Description { derive, source: error }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use wasm_encoder::CustomSection;

    use super::*;

    fn module(sections: &[(&str, &str)]) -> Vec<u8> {
        let mut module = Module::new();
        for (name, data) in sections {
            module.section(&CustomSection { name: Cow::from(*name), data: Cow::from(data.as_bytes()) });
        }
        module.finish()
    }

    const OPTION: &str = r#"[{"opt":"who","name":"Who","help":"Whom","type":"text","required":true,"defaultValue":"","validate":""}]"#;

    #[test]
    fn descriptions_are_taken_out_and_the_rest_stays() {
        let core = module(&[("other", "x"), (OPTIONS, OPTION), (OUTPUTS, "[]")]);
        let (description, rest) = Description::take_from(&core).unwrap();
        assert_eq!(description.options.unwrap()[0].opt, "who");
        assert_eq!(description.outputs, Some(vec![]));
        assert_eq!(rest, module(&[("other", "x")]));
    }

    #[test]
    fn a_module_without_descriptions_stays_as_it_is() {
        let core = module(&[("other", "x")]);
        assert_eq!(Description::take_from(&core).unwrap(), (Description::default(), core));
    }

    #[test]
    fn two_types_with_options_are_named() {
        let core = module(&[(OPTIONS, &format!("{OPTION}{OPTION}"))]);
        let error = Description::take_from(&core).unwrap_err();
        assert!(matches!(error, PackagingError::TwoDescriptions("Options")), "{error}");
        assert!(Description::take_from(b"no module").is_err());
    }
}
