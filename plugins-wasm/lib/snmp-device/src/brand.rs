use autoexec_sdk::Failure;
use serde::Deserialize;

/// Makers, in the order in which their names are looked for.
const BRANDS: &str = include_str!("brands.json");

/// Where the number of a maker stands in the identifier of a device (IANA private enterprise numbers).
const ENTERPRISES: &str = "1.3.6.1.4.1.";

/// What differs between makers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brand {
    /// The maker's name.
    pub brand: String,
    /// Its number at IANA.
    enterprise: u32,
    /// Where the serial number stands.
    #[serde(default)]
    pub serial: Vec<String>,
    /// Where the version stands, before the description of the system.
    #[serde(default)]
    pub version_places: Vec<String>,
    /// Where the model stands, before the description of the system.
    #[serde(default)]
    pub model_places: Vec<String>,
    /// What of the description is the version.
    version: Option<VersionPart>,
    /// What of the description is the model.
    model: Option<Part>,
}

/// The part of a description that is the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum VersionPart {
    FirstLine,
}

/// A part of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    after: String,
    before: Option<String>,
}

impl Brand {
    /// The maker of a device, by its description, else by its identifier; nothing for one that is not known.
    pub fn of(description: &str, identifier: &str) -> Result<Option<Self>, Failure> {
        let brands: Vec<Self> = serde_json::from_str(BRANDS)?;
        let description = description.to_lowercase();
        let number = identifier.trim_start_matches('.').strip_prefix(ENTERPRISES);
        let number = number.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        // Two letters are in many texts.
        let named =
            brands.iter().find(|own| own.brand.len() > 2 && description.contains(&own.brand.to_lowercase()));
        let numbered = || brands.iter().find(|own| Some(own.enterprise) == number);
        Ok(named.or_else(numbered).cloned())
    }

    /// The model, as the maker writes it into its description.
    pub fn model(&self, text: &str) -> String {
        let Some(Part { after, before }) = &self.model else { return text.to_owned() };
        let Some((_, rest)) = text.split_once(after.as_str()) else { return text.to_owned() };
        let rest = rest.trim_start_matches([':', ' ']);
        let end = match before {
            Some(before) => rest.find(before.as_str()),
            None => rest.find(['\r', '\n']),
        };
        rest[..end.unwrap_or(rest.len())].trim().to_owned()
    }

    /// The version, as the maker writes it into its description.
    pub fn version(&self, text: &str) -> String {
        match self.version {
            Some(VersionPart::FirstLine) => text.lines().next().unwrap_or_default().trim().to_owned(),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brand(description: &str, identifier: &str) -> Option<String> {
        Brand::of(description, identifier).unwrap().map(|own| own.brand)
    }

    #[test]
    fn makers_are_known_by_description_or_number() {
        assert_eq!(brand("H3C Comware Platform", ""), Some("H3C".into()));
        assert_eq!(brand("cisco IOS", "1.3.6.1.4.1.2011.2"), Some("Cisco".into()));
        assert_eq!(brand("VRP (R) software", ".1.3.6.1.4.1.2011.2.23"), Some("Huawei".into()));
        assert_eq!(brand("chip of a shipper", "1.3.6.1.4.1.8072.3"), None);
        assert_eq!(brand("", ""), None);
    }

    #[test]
    fn models_and_versions_are_parts_of_descriptions() {
        let cisco = Brand::of("Cisco", "").unwrap().unwrap();
        assert_eq!(cisco.model("Cisco IOS Software, C2960 Software"), "IOS Software");
        let huawei = Brand::of("Huawei", "").unwrap().unwrap();
        let text = "Huawei Versatile Routing Platform\r\nProduct Version : S5720\r\nmore";
        assert_eq!(
            (huawei.model(text), huawei.version(text)),
            ("S5720".into(), "Huawei Versatile Routing Platform".into())
        );
        assert_eq!(huawei.model("nothing of it"), "nothing of it");
    }
}
