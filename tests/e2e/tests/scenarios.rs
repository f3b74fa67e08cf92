//! Every folder below `scenarios/` against the program, each as a test of its own.

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> anyhow::Result<()> {
    let trials = autoexec_e2e::scenario::all()?.into_iter().map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || {
            autoexec_e2e::scenario::check(&folder).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    let trials = trials.collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}
