//! Real servers and doubles for the tests

pub mod agent;
pub mod cluster;
pub mod home;
pub mod mongo;
pub mod noise;
pub mod process;
pub mod proxy;
pub mod scope;
pub mod scratch;
pub mod server;
pub mod skip;
pub mod snmpd;
pub mod sshd;
pub mod sudoers;
mod tls;
pub mod wire;
