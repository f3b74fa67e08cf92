//! What the SNMP collectors share (spec/tools-behaviour/10-snmp-devices.md): who asks, single values and tables, forms of
//! values, interfaces, and what differs between makers.

mod access;
mod ask;
mod brand;
mod form;
mod interfaces;

pub use access::{Access, Asking, AuthProtocol, PrivProtocol, Version3};
pub use ask::{Cell, Device, Scalar};
pub use brand::Brand;
pub use form::{Form, mac_of_index, megabits, uptime};
pub use interfaces::{IDENTITY, addresses, identify, port_name};
