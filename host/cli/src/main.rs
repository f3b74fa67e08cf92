//! The autoexec command.
fn main() {}
