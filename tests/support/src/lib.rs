//! Real servers and doubles for the tests

pub mod home;
pub mod mongo;
pub mod server;
pub mod sshd;
