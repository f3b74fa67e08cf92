//! What must hold for any `config.ini`. Used by the fuzz target and by the property test of `autoexec-cli`.

use std::path::Path;

use autoexec_cli::config::Config;

/// A secret that the generators put into files.
pub(crate) const SECRET: &str = "hunter2-tok-4711";

/// A file that can be used means the same after it was rewritten without plain secrets; one that cannot is named by the
/// complaint, which repeats no secret, and is left as it was.
pub(crate) fn config(bytes: &[u8], directory: &Path) {
    let path = directory.join("config.ini");
    std::fs::write(&path, bytes).unwrap();
    let first = match Config::load(&path) {
        Ok(config) => config,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("config.ini") && !text.contains(SECRET), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "changed by a failed reading");
            return;
        }
    };
    let second =
        Config::load(&path).unwrap_or_else(|error| panic!("not readable after it was rewritten: {error}"));
    // A passphrase has no comparison, and shows as the same text whatever it is.
    assert_eq!(format!("{:?}", first.autoexec), format!("{:?}", second.autoexec));
    let server = |config: &Config| {
        config.server.as_ref().map(|server| {
            (
                server.base_url.clone(),
                server.user.clone(),
                server.password.expose().to_owned(),
                server.ca_file.clone(),
            )
        })
    };
    assert_eq!(server(&first), server(&second));
    let debug = format!("{first:?}");
    assert!(!debug.contains(SECRET), "{debug}");
}
