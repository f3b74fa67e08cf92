//! The `autoexec` command. Everything is in the library, so that it can be tested and fuzzed.

fn main() -> std::process::ExitCode {
    autoexec_cli::main()
}
