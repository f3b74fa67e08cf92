//! Kinds of addresses that a broad rule must not reach: they lead into the machine or the site, not to the world.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address that is not public is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// "This host": 0.0.0.0/8 and `::`; connecting there reaches the runner itself.
    Unspecified,
    /// The runner itself.
    Loopback,
    /// Networks of a site.
    Private,
    /// Networks of a provider behind address translation (100.64.0.0/10).
    Shared,
    /// The network segment the runner stands in.
    LinkLocal,
    /// Metadata service of a cloud: hands out credentials of the machine.
    Metadata,
    /// IPv6 that stands for an IPv4 address somewhere else.
    Translated,
    /// Many receivers, broadcast included.
    Multicast,
    /// Documentation, benchmarks and what is not assigned.
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Translated => "translated",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        })
    }
}

/// A network whose addresses are not public.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) net: IpNet,
    pub(crate) class: AddressClass,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8, class: AddressClass) -> Block {
    Block { net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)), class }
}

const fn v6(high: [u16; 4], low: [u16; 4], prefix: u8, class: AddressClass) -> Block {
    let address = Ipv6Addr::new(high[0], high[1], high[2], high[3], low[0], low[1], low[2], low[3]);
    Block { net: IpNet::V6(Ipv6Net::new_assert(address, prefix)), class }
}

/// The special-purpose registries of IANA (RFC 6890 and updates), and the metadata services of the large clouds as
/// blocks of one address, so that a grant of the network around one does not hand it out.
const BLOCKS: &[Block] = &[
    v4(0, 0, 0, 0, 8, AddressClass::Unspecified),
    v4(10, 0, 0, 0, 8, AddressClass::Private),
    v4(100, 64, 0, 0, 10, AddressClass::Shared),
    v4(100, 100, 100, 200, 32, AddressClass::Metadata), // Alibaba Cloud
    v4(127, 0, 0, 0, 8, AddressClass::Loopback),
    v4(168, 63, 129, 16, 32, AddressClass::Metadata), // Azure, inside of public space
    v4(169, 254, 0, 0, 16, AddressClass::LinkLocal),
    v4(169, 254, 169, 254, 32, AddressClass::Metadata), // AWS, Azure, Google, OpenStack and others
    v4(169, 254, 170, 2, 32, AddressClass::Metadata),   // AWS containers
    v4(169, 254, 170, 23, 32, AddressClass::Metadata),  // AWS Kubernetes
    v4(172, 16, 0, 0, 12, AddressClass::Private),
    v4(192, 0, 0, 0, 24, AddressClass::Reserved),
    v4(192, 0, 0, 192, 32, AddressClass::Metadata), // Oracle Cloud
    v4(192, 0, 2, 0, 24, AddressClass::Reserved),
    v4(192, 88, 99, 0, 24, AddressClass::Reserved),
    v4(192, 168, 0, 0, 16, AddressClass::Private),
    v4(198, 18, 0, 0, 15, AddressClass::Reserved),
    v4(198, 51, 100, 0, 24, AddressClass::Reserved),
    v4(203, 0, 113, 0, 24, AddressClass::Reserved),
    v4(224, 0, 0, 0, 4, AddressClass::Multicast),
    v4(240, 0, 0, 0, 4, AddressClass::Reserved),
    v4(255, 255, 255, 255, 32, AddressClass::Multicast),
    v6([0; 4], [0; 4], 96, AddressClass::Translated), // IPv4-compatible
    v6([0; 4], [0; 4], 128, AddressClass::Unspecified),
    v6([0; 4], [0, 0, 0, 1], 128, AddressClass::Loopback),
    v6([0x64, 0xff9b, 0, 0], [0; 4], 96, AddressClass::Translated), // NAT64
    v6([0x64, 0xff9b, 1, 0], [0; 4], 48, AddressClass::Translated), // NAT64 of a site
    v6([0x100, 0, 0, 0], [0; 4], 64, AddressClass::Reserved),
    v6([0x2001, 0, 0, 0], [0; 4], 23, AddressClass::Reserved),
    v6([0x2001, 0, 0, 0], [0; 4], 32, AddressClass::Translated), // Teredo
    v6([0x2001, 0xdb8, 0, 0], [0; 4], 32, AddressClass::Reserved),
    v6([0x2002, 0, 0, 0], [0; 4], 16, AddressClass::Translated), // 6to4
    v6([0x3fff, 0, 0, 0], [0; 4], 20, AddressClass::Reserved),
    v6([0xfc00, 0, 0, 0], [0; 4], 7, AddressClass::Private),
    v6([0xfd00, 0xec2, 0, 0], [0, 0, 0, 0x254], 128, AddressClass::Metadata), // AWS
    v6([0xfd00, 0xec2, 0, 0], [0, 0, 0, 0x23], 128, AddressClass::Metadata),  // AWS Kubernetes
    v6([0xfd20, 0xce, 0, 0], [0, 0, 0, 0x254], 128, AddressClass::Metadata),  // Google
    v6([0xfe80, 0, 0, 0], [0; 4], 10, AddressClass::LinkLocal),
    v6([0xfec0, 0, 0, 0], [0; 4], 10, AddressClass::Private),
    v6([0xff00, 0, 0, 0], [0; 4], 8, AddressClass::Multicast),
];

/// The narrowest block that holds the address; none for a public address.
pub(crate) fn block_of(address: IpAddr) -> Option<&'static Block> {
    BLOCKS.iter().filter(|block| block.net.contains(&address)).max_by_key(|block| block.net.prefix_len())
}

/// The narrowest block that holds the whole network.
pub(crate) fn block_around(net: &IpNet) -> Option<&'static Block> {
    BLOCKS.iter().filter(|block| block.net.contains(net)).max_by_key(|block| block.net.prefix_len())
}

/// The IPv4 address that an IPv6 address stands for by its form (IPv4-compatible, NAT64, 6to4). A deny rule for the
/// one is a deny rule for the other. IPv4-mapped addresses are not among them: they were made IPv4 before.
pub(crate) fn carried_v4(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let (high, low) = match address.segments() {
        [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => (high, low),
        _ => return None,
    };
    Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<AddressClass> {
        block_of(text.parse().unwrap()).map(|block| block.class)
    }

    #[test]
    fn special_addresses_have_their_narrowest_class() {
        for (text, expected) in [
            ("127.0.0.53", Some(AddressClass::Loopback)),
            ("::1", Some(AddressClass::Loopback)),
            ("0.0.0.0", Some(AddressClass::Unspecified)),
            ("10.255.0.1", Some(AddressClass::Private)),
            ("172.31.255.255", Some(AddressClass::Private)),
            ("172.32.0.0", None),
            ("192.168.1.1", Some(AddressClass::Private)),
            ("100.100.0.1", Some(AddressClass::Shared)),
            ("100.100.100.200", Some(AddressClass::Metadata)),
            ("169.254.1.1", Some(AddressClass::LinkLocal)),
            ("169.254.169.254", Some(AddressClass::Metadata)),
            ("fd00:ec2::254", Some(AddressClass::Metadata)),
            ("fd00:ec2::253", Some(AddressClass::Private)),
            ("fe80::1", Some(AddressClass::LinkLocal)),
            ("ff02::1", Some(AddressClass::Multicast)),
            ("224.0.0.1", Some(AddressClass::Multicast)),
            ("255.255.255.255", Some(AddressClass::Multicast)),
            ("240.0.0.1", Some(AddressClass::Reserved)),
            ("64:ff9b::a9fe:a9fe", Some(AddressClass::Translated)),
            ("::7f00:1", Some(AddressClass::Translated)),
            ("2002:7f00:1::", Some(AddressClass::Translated)),
            ("2001::1", Some(AddressClass::Translated)),
            ("8.8.8.8", None),
            ("2606:4700::1111", None),
        ] {
            assert_eq!(class(text), expected, "{text}");
        }
    }

    #[test]
    fn every_block_is_written_as_a_network() {
        for block in BLOCKS {
            assert_eq!(block.net, block.net.trunc(), "{:?}", block.class);
        }
    }

    #[test]
    fn carried_addresses_are_read_from_each_form() {
        for (text, expected) in [
            ("64:ff9b::a9fe:a9fe", Some("169.254.169.254")),
            ("2002:a00:1::5", Some("10.0.0.1")),
            ("::7f00:1", Some("127.0.0.1")),
            ("::1", None),
            ("2606:4700::1111", None),
            ("10.0.0.1", None),
        ] {
            let carried = carried_v4(text.parse().unwrap()).map(|address| address.to_string());
            assert_eq!(carried.as_deref(), expected, "{text}");
        }
    }
}
