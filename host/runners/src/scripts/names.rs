//! File names of scripts (`spec/plugin-contract.md` §8.6). Names come over the network, so each is checked.

use autoexec_model::{Interpreter, Operation, OperationBody};
use autoexec_store::{StoreError, base_name};

/// The file name of an operation's own script: script name plus extension, or the operation's number where the
/// operation's name is not ASCII.
///
/// `from_server` is the name the server gave. It differs from the operation's after a renaming, and other scripts
/// import the new one.
pub(super) fn own_name(
    operation: &Operation,
    from_server: Option<&str>,
    interpreter: Option<Interpreter>,
) -> Result<String, StoreError> {
    let tool = operation.name.tool();
    let base = if tool.is_ascii() {
        from_server.filter(|name| name.is_ascii()).unwrap_or(tool)
    } else {
        operation.id.number().unwrap_or(tool)
    };
    Ok(with_extension(base_name(base)?, interpreter.map_or("", Interpreter::script_extension)))
}

/// The file name of a library. Libraries are imported by name, so it stays as it is, ASCII or not.
pub(super) fn library_name(
    from_server: Option<&str>,
    script: i64,
    interpreter: Option<Interpreter>,
) -> Result<String, StoreError> {
    let base = from_server.map_or_else(|| Ok(script.to_string()), base_name)?;
    Ok(with_extension(base, interpreter.map_or("", Interpreter::library_extension)))
}

/// The name of the link that stands for an operation in its bundle's directory. Ids begin with the bundle; the last
/// segment alone is unique there, and keeps the script beside its libraries.
pub(super) fn operation_link(operation: &Operation) -> Result<String, StoreError> {
    base_name(operation.id.as_str())
}

/// The interpreter that the operation declares.
pub(super) fn declared_interpreter(operation: &Operation) -> Option<Interpreter> {
    match &operation.body {
        OperationBody::Call(call) => call.interpreter,
        OperationBody::If(_) | OperationBody::Loop(_) => None,
    }
}

fn with_extension(base: String, extension: &str) -> String {
    if base.ends_with(extension) { base } else { base + extension }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::operation;

    #[test]
    fn a_script_is_named_after_the_server_the_operation_or_its_number() {
        let cases = [
            ("check", "check_501", None, Some(Interpreter::Python), "check.py"),
            ("check", "check_501", Some("renamed"), Some(Interpreter::Bash), "renamed.sh"),
            ("check.pl", "check.pl_501", None, Some(Interpreter::Perl), "check.pl"),
            ("磁盘检查", "磁盘检查_502", Some("磁盘检查"), Some(Interpreter::Ksh), "502.sh"),
            ("check", "check_501", Some("../../etc/cron.d/x"), Some(Interpreter::Sh), "x.sh"),
            ("check", "check_501", None, None, "check"),
        ];
        for (name, id, from_server, interpreter, expected) in cases {
            let operation = operation(name, id, "");
            assert_eq!(own_name(&operation, from_server, interpreter).unwrap(), expected);
        }
    }

    #[test]
    fn a_library_keeps_its_name() {
        assert_eq!(library_name(Some("Util"), 7, Some(Interpreter::Perl)).unwrap(), "Util.pm");
        assert_eq!(library_name(Some("工具"), 7, Some(Interpreter::Python)).unwrap(), "工具.py");
        assert_eq!(library_name(Some("data.tar"), 7, Some(Interpreter::Package)).unwrap(), "data.tar");
        assert_eq!(library_name(None, 7, Some(Interpreter::Sh)).unwrap(), "7.sh");
        for bad in ["", "..", "a/..", "x\n"] {
            assert!(library_name(Some(bad), 7, None).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_link_of_an_operation_lies_beside_its_script() {
        assert_eq!(operation_link(&operation("dir/check", "dir/check_501", "")).unwrap(), "check_501");
    }
}
