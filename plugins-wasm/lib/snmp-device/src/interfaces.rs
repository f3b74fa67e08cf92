//! Who the device is, and its interfaces.

use autoexec_sdk::{Failure, log};
use serde_json::{Map, Value};

use crate::ask::{Device, Scalar};
use crate::brand::Brand;
use crate::form::Form;

const DESCRIPTION: &str = "1.3.6.1.2.1.1.1.0";
const IDENTIFIER: &str = "1.3.6.1.2.1.1.2.0";
/// Serial number of the first part of the chassis (ENTITY-MIB).
const SERIAL: &str = "1.3.6.1.2.1.47.1.1.1.1.11.1";

/// The scalars that every device has.
pub const IDENTITY: [Scalar<'static>; 4] = [
    Scalar { name: "DEV_NAME", places: &["1.3.6.1.2.1.1.5.0"], form: Form::Plain },
    Scalar { name: "UPTIME", places: &["1.3.6.1.2.1.1.3.0"], form: Form::Uptime },
    Scalar { name: "VENDOR", places: &["1.3.6.1.2.1.1.4.0"], form: Form::Plain },
    Scalar { name: "PORTS_COUNT", places: &["1.3.6.1.2.1.2.1.0"], form: Form::Plain },
];

/// The maker, and the record of what the device says of itself: the scalars above, `BRAND`, `MODEL`, `IOS_INFO` and `SN`.
/// `known` is the maker where the job says it.
pub fn identify(
    device: &Device,
    known: Option<&str>,
) -> Result<(Option<Brand>, Map<String, Value>), Failure> {
    let description = device.value(DESCRIPTION)?.to_text();
    let identifier = device.value(IDENTIFIER)?.to_text();
    let brand = Brand::of(known.unwrap_or(&description), if known.is_some() { "" } else { &identifier })?;
    match &brand {
        Some(brand) => log::info(format_args!("Switch brand: {}.", brand.brand)),
        None => log::error(format_args!(
            "The maker is not known by \"{}\" or {identifier}; going on with what every device has.",
            description.lines().next().unwrap_or_default()
        )),
    }
    let own = brand.clone().unwrap_or_default();
    let places = |first: &[String], last: &str| {
        let mut places = first.to_vec();
        places.push(last.to_owned());
        places
    };
    let serial = if own.serial.is_empty() { vec![SERIAL.to_owned()] } else { own.serial.clone() };
    let (model, version) = (places(&own.model_places, DESCRIPTION), places(&own.version_places, DESCRIPTION));
    let (serial, model, version) = (borrowed(&serial), borrowed(&model), borrowed(&version));
    let mut scalars = IDENTITY.to_vec();
    scalars.push(Scalar { name: "MODEL", places: &model, form: Form::Plain });
    scalars.push(Scalar { name: "IOS_INFO", places: &version, form: Form::Plain });
    scalars.push(Scalar { name: "SN", places: &serial, form: Form::Plain });
    let mut record = device.scalars(&scalars)?;
    edit(&mut record, "MODEL", |text| own.model(text));
    edit(&mut record, "IOS_INFO", |text| own.version(text));
    if let Some(brand) = &brand {
        record.insert("BRAND".into(), brand.brand.clone().into());
        if matches!(record.get("VENDOR").and_then(Value::as_str).map(str::trim), None | Some("" | "-")) {
            record.insert("VENDOR".into(), brand.brand.clone().into());
        }
    } else {
        record.insert("BRAND".into(), Value::Null);
    }
    Ok((brand, record))
}

fn borrowed(places: &[String]) -> Vec<&str> {
    places.iter().map(String::as_str).collect()
}

fn edit(record: &mut Map<String, Value>, name: &str, change: impl FnOnce(&str) -> String) {
    if let Some(value) = record.get_mut(name)
        && let Some(text) = value.as_str()
    {
        *value = change(text).into();
    }
}

/// The addresses of the device, `IP` and `NETMASK`.
pub fn addresses(device: &Device) -> Result<Vec<Value>, Failure> {
    let rows = device.table(&[
        ("IP", "1.3.6.1.2.1.4.20.1.1", Form::Address),
        ("NETMASK", "1.3.6.1.2.1.4.20.1.3", Form::Address),
    ])?;
    Ok(rows.into_iter().map(Value::from).collect())
}

/// The name of a port with its kind spelt out, where a number follows.
pub fn port_name(name: &str) -> String {
    for (short, long) in [("Eth", "Ethernet"), ("Gig", "GigabitEthernet")] {
        if let Some(rest) = name.strip_prefix(short)
            && rest.starts_with(|c: char| c.is_ascii_digit())
        {
            return format!("{long}{rest}");
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::snmp::{Agent, Credentials};
    use autoexec_sdk::testing::Host;

    #[test]
    fn kinds_of_ports_are_spelt_out() {
        for (name, expected) in [
            ("Eth1/1", "Ethernet1/1"),
            ("Gig0/1", "GigabitEthernet0/1"),
            ("Ethernet0/1", "Ethernet0/1"),
            ("lo", "lo"),
        ] {
            assert_eq!(port_name(name), expected);
        }
    }

    #[test]
    fn a_device_that_nobody_knows_is_still_described() {
        let host = Host::new();
        host.snmp().recorded(
            "sw",
            ".1.3.6.1.2.1.1.1.0 = STRING: \"a box\"\n.1.3.6.1.2.1.1.2.0 = OID: .1.3.6.1.4.1.99999\n\
             .1.3.6.1.2.1.1.4.0 = STRING: \"-\"\n.1.3.6.1.2.1.1.5.0 = STRING: \"box-1\"\n",
        );
        let device = Device::new(Agent::new("sw", Credentials::V2c("c".into())));
        let (brand, record) = identify(&device, None).unwrap();
        assert_eq!(brand, None);
        assert_eq!(
            (&record["DEV_NAME"], &record["MODEL"], &record["SN"]),
            (&"box-1".into(), &"a box".into(), &Value::Null)
        );
        assert!(host.log_lines()[0].starts_with("ERROR: The maker is not known"));
    }
}
