//! What differs between the makers of devices.

use autoexec_sdk::Choice;

/// Makers of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub(crate) enum Vendor {
    Huawei,
    H3c,
    Cisco,
    Hillstone,
    Ruijie,
    Maipu,
    Zte,
}

/// The line that a configuration ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndMark {
    /// A text without it is cut off.
    Always(&'static str),
    /// Most devices write it.
    Usual(&'static str),
    /// Not known.
    Unknown,
}

/// What is typed into a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commands {
    /// Turns paging off.
    pub(crate) paging: &'static str,
    /// Shows the running configuration.
    pub(crate) show: &'static str,
    /// How that ends.
    pub(crate) end: EndMark,
}

impl Vendor {
    pub(crate) fn commands(self) -> Commands {
        let (paging, show, end) = match self {
            Self::Huawei => {
                ("screen-length 0 temporary", "display current-configuration", EndMark::Always("return"))
            }
            Self::H3c => {
                ("screen-length disable", "display current-configuration", EndMark::Always("return"))
            }
            // Firmware of data centre switches writes no mark.
            Self::Cisco | Self::Zte => ("terminal length 0", "show run", EndMark::Usual("end")),
            Self::Hillstone => ("terminal length 0", "show configuration", EndMark::Unknown),
            Self::Ruijie => ("terminal length 0", "show running-config", EndMark::Always("end")),
            Self::Maipu => ("more off", "show running-config", EndMark::Unknown),
        };
        Commands { paging, show, end }
    }
}

/// Begins of lines that change although nobody has changed the configuration.
const NOISE: [&str; 8] = [
    "! Last configuration change",
    "! NVRAM config last updated",
    "! No configuration change since",
    "!Time:",
    "!Running configuration last done at:",
    "ntp clock-period",
    "Current configuration :",
    "Building configuration",
];

/// The configuration without such lines.
pub(crate) fn without_noise(configuration: &str) -> String {
    let lines = configuration.lines().filter(|line| !NOISE.iter().any(|noise| line.starts_with(noise)));
    lines.fold(String::with_capacity(configuration.len()), |text, line| text + line + "\n")
}
