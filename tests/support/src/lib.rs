//! Real servers and doubles for the tests

pub mod home;
pub mod server;
pub mod sshd;
