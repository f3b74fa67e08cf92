//! Tool `inspect/netdevbackup`: saves the running configuration of a network device, and says what has changed since the
//! last time (spec/tools-behaviour/11-network-device-cli.md).

use std::time::Duration;

use autoexec_sdk::filesystem::{self, FileError};
use autoexec_sdk::{
    Call, Failure, HostError, Options, Outcome, Outputs, Tool, ToolResult, job, log, output::Outputs as _,
};
use network_device::{Device, ExitCommand, Login, Protocol, USUAL_REFUSALS, refusal};
use serde_json::{Value, json};
use similar::TextDiff;

mod vendor;

use vendor::{EndMark, Vendor};

/// The largest configuration that is compared, in bytes.
const MOST_COMPARED: u64 = 8 << 20;

/// Lines around a change that the difference shows.
const CONTEXT: usize = 3;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// How the device is reached; telnet is in the clear
    #[option(default = "ssh", required = true)]
    protocol: Protocol,
    /// Maker of the device
    vendor: Vendor,
    /// The command that ends the session
    #[option(name = "exitCmd", label = "Exit command", default = "exit")]
    exit_command: ExitCommand,
    /// The longest silence of the device, in seconds
    #[option(default = 10, required = true)]
    timeout: Duration,
    /// Show the configuration
    #[option(choices = "0=No, 1=Yes", default = "0")]
    verbose: bool,
    /// Directory of the runner that keeps the last configuration of each device, to compare with; nothing is compared
    /// without it
    archive: Option<String>,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Saved {
    /// The saved file, as inspect/saveconffile takes it
    #[output(name = "fileList", label = "Files")]
    file_list: Vec<Value>,
    /// Whether the configuration differs from the last one in the archive; nothing when there is none
    changed: Option<bool>,
    /// The difference in unified form
    #[output(kind = "textarea")]
    difference: Option<String>,
}

struct NetDevBackup;

impl Tool for NetDevBackup {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let node = job::node();
        let name = file_name(&node.host);
        let login = Login { node, protocol: options.protocol, timeout: options.timeout };
        let configuration = read(&login, options.vendor, options.exit_command)?;
        if options.verbose {
            log::plain(&configuration);
        }
        let directory = filesystem::output_directory()?;
        filesystem::create_directory(&directory)?;
        let path = format!("{directory}/{name}");
        filesystem::write(&path, configuration.as_bytes())?;
        log::fine(format_args!("Save backup file: {path} success."));
        let difference = match &options.archive {
            Some(archive) => compare(archive, &name, &configuration)?,
            None => None,
        };
        let entry = json!({"fullPath": path, "serverPath": name, "fileName": name, "modifyTime": null});
        Saved {
            file_list: vec![entry],
            changed: difference.as_ref().map(|difference| !difference.is_empty()),
            difference,
        }
        .put();
        Ok(Outcome::default())
    }
}

/// Asks the device for its configuration, and makes sure that it is whole.
fn read(login: &Login, vendor: Vendor, exit: ExitCommand) -> Result<String, Failure> {
    let mut device = Device::log_in(login)?;
    let commands = vendor.commands();
    let said = device.command(commands.paging)?;
    if let Some(refused) = refusal(&said, USUAL_REFUSALS) {
        log::warn(format_args!("The device refuses `{}` ({refused}); pages are turned.", commands.paging));
    }
    let configuration = device.command(commands.show)?;
    device.leave(exit);
    if let Some(refused) = refusal(&configuration, USUAL_REFUSALS) {
        let message = format!(
            "the device refuses `{}`: {refused}; check the option `vendor` and the rights of the account",
            commands.show
        );
        return Err(Failure::other("refused", message));
    }
    let configuration = tidied(&configuration);
    if configuration.is_empty() {
        let message = format!("the device puts out nothing for `{}`", commands.show);
        return Err(Failure::other("no-configuration", message));
    }
    let last = configuration.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match commands.end {
        EndMark::Always(mark) if last != mark => {
            let message = format!(
                "the configuration does not end with `{mark}` but with \"{}\": it is cut off, and was not saved",
                last.chars().take(80).collect::<String>().escape_debug()
            );
            Err(Failure::other("incomplete", message))
        }
        EndMark::Usual(mark) if last != mark => {
            log::warn(format_args!(
                "The configuration does not end with `{mark}`, as most of this maker do."
            ));
            Ok(configuration)
        }
        _ => Ok(configuration),
    }
}

/// The text without blanks at the end of its lines and without empty lines around it.
fn tidied(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let joined = lines.join("\n");
    let body = joined.trim_matches('\n');
    if body.trim().is_empty() { String::new() } else { format!("{body}\n") }
}

/// The name of the device's file: its address, without what no file name may hold.
fn file_name(host: &str) -> String {
    format!("{}.txt", host.replace(['/', '\\', ':'], "_"))
}

/// The difference to the configuration of the last time, which is replaced; nothing for the first time.
fn compare(archive: &str, name: &str, configuration: &str) -> Result<Option<String>, Failure> {
    let archive = filesystem::in_job(archive.trim())?;
    let path = format!("{}/{name}", archive.trim_end_matches('/'));
    let before = match filesystem::read_text(&path, MOST_COMPARED) {
        Ok(text) => Some(text),
        Err(HostError { reason: FileError::NotFound, .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let difference = before.as_deref().map(|before| difference(before, configuration, name));
    match difference.as_deref() {
        None => log::info(format_args!("There is no earlier configuration in {archive}.")),
        Some("") => log::info("The configuration has not changed."),
        Some(text) => {
            log::warn("The configuration has changed:");
            log::plain(text);
        }
    }
    if before.as_deref() != Some(configuration) {
        filesystem::create_directory(&archive)?;
        filesystem::write(&path, configuration.as_bytes())?;
    }
    Ok(difference)
}

/// The difference in unified form; empty when only what changes by itself differs.
fn difference(before: &str, after: &str, name: &str) -> String {
    let (kept_before, kept_after) = (vendor::without_noise(before), vendor::without_noise(after));
    if kept_before == kept_after {
        return String::new();
    }
    TextDiff::from_lines(&kept_before, &kept_after)
        .unified_diff()
        .context_radius(CONTEXT)
        .header(&format!("{name} (before)"), &format!("{name} (now)"))
        .to_string()
}

autoexec_sdk::export_tool!(NetDevBackup);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::{Host, Script};

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "10.0.0.1".into();
            node.port = None;
            node.resource_id = 7;
        });
        host.set_context(|context| context.operation_id = "inspect/netdevbackup_1".into());
        host.set_variable("AUTOEXEC_WORK_PATH", "/job");
        host.filesystem().writable("/job/output-op").writable("/srv/archive");
        host
    }

    const PATH: &str = "/job/output-op/10.0.0.1--7/inspect/netdevbackup_1/10.0.0.1.txt";

    fn huawei(host: &Host, configuration: &str) {
        let script = Script::new()
            .shows("<sw1>")
            .expects("screen-length 0 temporary\n")
            .shows("screen-length 0 temporary\r\nInfo: The configuration takes effect.\r\n<sw1>")
            .expects("display current-configuration\n")
            .shows("display current-configuration\r\n")
            .shows(configuration)
            .shows("<sw1>")
            .expects("quit\n");
        host.target().session(script);
    }

    #[test]
    fn the_configuration_is_saved_and_compared() {
        let host = host();
        let options = json!({"vendor": "huawei", "exitCmd": "quit", "archive": "/srv/archive"});
        huawei(&host, "#\r\nsysname sw1\r\n#\r\nreturn\r\n");
        host.run::<NetDevBackup>(options.clone()).unwrap();
        let saved = "#\nsysname sw1\n#\nreturn\n";
        assert_eq!(host.filesystem().content(PATH).as_deref(), Some(saved.as_bytes()));
        let file = json!([{"fullPath": PATH, "serverPath": "10.0.0.1.txt", "fileName": "10.0.0.1.txt", "modifyTime": null}]);
        assert_eq!((host.output("fileList"), host.output("changed")), (Some(file), Some(Value::Null)));
        assert!(host.log_lines().contains(&format!("FINE: Save backup file: {PATH} success.")));
        huawei(&host, "#\r\nsysname sw1\r\n#\r\nreturn\r\n");
        host.run::<NetDevBackup>(options.clone()).unwrap();
        assert_eq!(host.output("changed"), Some(json!(false)));
        huawei(&host, "#\r\nsysname core\r\n#\r\nreturn\r\n");
        host.run::<NetDevBackup>(options).unwrap();
        assert_eq!(host.output("changed"), Some(json!(true)));
        let difference = host.output("difference").unwrap();
        assert!(difference.as_str().unwrap().contains("-sysname sw1\n+sysname core\n"), "{difference}");
        let kept = host.filesystem().content("/srv/archive/10.0.0.1.txt").unwrap();
        assert!(String::from_utf8(kept).unwrap().contains("core"));
    }

    #[test]
    fn a_configuration_that_is_cut_off_is_not_saved() {
        let host = host();
        huawei(&host, "#\r\nsysname sw1\r\n#\r\n");
        let failure = host.run::<NetDevBackup>(json!({"vendor": "huawei", "exitCmd": "quit"})).unwrap_err();
        assert!(failure.message().contains("does not end with `return`"), "{failure}");
        assert_eq!(host.filesystem().content(PATH), None);
    }

    #[test]
    fn a_refusal_names_the_vendor_and_an_unknown_vendor_is_refused() {
        let host = host();
        huawei(&host, "          ^\r\nError: Unrecognized command found at '^' position.\r\n");
        let failure = host.run::<NetDevBackup>(json!({"vendor": "huawei", "exitCmd": "quit"})).unwrap_err();
        assert!(failure.message().contains("check the option `vendor`"), "{failure}");
        assert!(host.run::<NetDevBackup>(json!({"vendor": "acme"})).is_err());
    }

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let before = "! Last configuration change at 12:00\nhostname a\nntp clock-period 17179\nend\n";
        let after = "! Last configuration change at 13:00\nhostname a\nntp clock-period 17180\nend\n";
        assert_eq!(difference(before, after, "x"), "");
    }
}
