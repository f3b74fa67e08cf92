use autoexec_sdk::Failure;

/// The usual port.
const PORT: u16 = 21;

/// Where a file is: `ftp://host[:port]/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path, without a slash at its begin; empty for the directory after login.
    pub path: String,
}

impl Address {
    /// Reads it. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        let unusable = |why: &str| {
            let message = format!("the address {text} can not be used: {why}; write ftp://host[:port]/path");
            Failure::invalid_option("addr", message)
        };
        let rest = text.strip_prefix("ftp://").ok_or_else(|| unusable("it does not begin with ftp://"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(unusable("the user belongs into the option `user`"));
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, behind) = rest.split_once(']').ok_or_else(|| unusable("a bracket is missing"))?;
            (host, behind.strip_prefix(':'))
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        if host.is_empty() {
            return Err(unusable("there is no host in it"));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| unusable("the port is no number"))?,
            None => PORT,
        };
        if path.contains(char::is_control) {
            return Err(unusable("the path holds control characters"));
        }
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    /// The last part of the path; the host where there is none.
    pub fn name(&self) -> &str {
        let name = file_transfer::base_name(&self.path);
        if name.is_empty() { &self.host } else { name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = Address::parse(" ftp://h:2121/pub/a b.txt").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.path.as_str()), ("h", 2121, "pub/a b.txt"));
        let address = Address::parse("ftp://[::1]:2121//abs/dir/").unwrap();
        assert_eq!(
            (address.host.as_str(), address.path.as_str(), address.name()),
            ("::1", "/abs/dir/", "dir")
        );
        assert_eq!(Address::parse("ftp://h").unwrap().name(), "h");
        for bad in ["h/x", "ftp:///x", "ftp://h:x/", "ftp://u:p@h/x", "ftp://[::1/x", "ftp://h/a\rb"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
