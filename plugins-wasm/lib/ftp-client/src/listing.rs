use autoexec_sdk::Failure;

/// An entry of a directory of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Name, one part of a path.
    pub name: String,
    /// Whether it is a directory; anything but files and directories is left out of listings.
    pub is_directory: bool,
}

/// The form of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// `MLSD` (RFC 3659): `type=file;size=1; name`.
    Machine,
    /// `LIST`: lines as `ls -l` or `dir` write them.
    People,
}

impl Listing {
    /// Reads it. A name that is no name of one file is an error: a hostile server must not choose where we write.
    pub fn read(self, bytes: &[u8]) -> Result<Vec<Item>, Failure> {
        let text = String::from_utf8_lossy(bytes);
        let mut items = Vec::new();
        for line in
            text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.trim().is_empty())
        {
            let item = match self {
                Self::Machine => machine(line),
                Self::People => people(line),
            };
            let Some(item) = item.map_err(|()| unreadable(line))? else { continue };
            if matches!(item.name.as_str(), "." | "..") {
                continue;
            }
            if item.name.is_empty() || item.name.contains(['/', '\\', '\0']) {
                return Err(unreadable(line));
            }
            items.push(item);
        }
        items.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(items)
    }
}

fn unreadable(line: &str) -> Failure {
    let line: String = line.chars().take(200).collect();
    let message = format!("a line of the server's listing can not be read: \"{}\"", line.escape_debug());
    Failure::other("invalid-data", message)
}

/// One item; nothing for what is to be left out.
type Read = Result<Option<Item>, ()>;

fn machine(line: &str) -> Read {
    let (facts, name) = line.split_once(' ').ok_or(())?;
    let facts = facts.split(';').filter_map(|fact| fact.split_once('='));
    let kind = facts.into_iter().find(|(key, _)| key.eq_ignore_ascii_case("type")).map(|(_, kind)| kind);
    Ok(match kind.ok_or(())?.to_ascii_lowercase().as_str() {
        "file" => Some(Item { name: name.to_owned(), is_directory: false }),
        "dir" => Some(Item { name: name.to_owned(), is_directory: true }),
        _ => None,
    })
}

fn people(line: &str) -> Read {
    match line.chars().next() {
        Some('-' | 'd' | 'l' | 'b' | 'c' | 'p' | 's') => unix(line),
        Some(c) if c.is_ascii_digit() => dos(line),
        _ if line.starts_with("total ") => Ok(None),
        _ => Err(()),
    }
}

/// `-rw-r--r-- 1 user group 7 Jan  1 2000 name`.
fn unix(line: &str) -> Read {
    let mut rest = line;
    for _ in 0..8 {
        let word = rest.find(' ').ok_or(())?;
        rest = rest[word..].trim_start_matches(' ');
    }
    // One blank separates the name from the date; further ones are part of the name and are kept.
    let before = line.len() - rest.len();
    let trimmed = &line[..before];
    let extra = trimmed.len() - trimmed.trim_end_matches(' ').len();
    let name = &line[before - extra.saturating_sub(1)..];
    Ok(match line.as_bytes()[0] {
        b'-' => Some(Item { name: name.to_owned(), is_directory: false }),
        b'd' => Some(Item { name: name.to_owned(), is_directory: true }),
        _ => None,
    })
}

/// `01-31-24  10:00AM  <DIR>  name`.
fn dos(line: &str) -> Read {
    let mut rest = line;
    let mut third = "";
    for _ in 0..3 {
        let word = rest.find(' ').ok_or(())?;
        third = &rest[..word];
        rest = rest[word..].trim_start_matches(' ');
    }
    let is_directory = third == "<DIR>";
    if !is_directory && third.parse::<u64>().is_err() {
        return Err(());
    }
    Ok(Some(Item { name: rest.to_owned(), is_directory }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: Listing, text: &str) -> Vec<(String, bool)> {
        let items = listing.read(text.as_bytes()).unwrap();
        items.into_iter().map(|item| (item.name, item.is_directory)).collect()
    }

    #[test]
    fn listings_of_all_kinds() {
        let expected = vec![("a b.txt".to_owned(), false), ("sub".to_owned(), true)];
        let unix = "total 8\r\n-rw-r--r--    1 0        0               7 Jan 01  2000 a b.txt\r\n\
                    drwxr-xr-x    2 u g 4096 Nov 25 20:00 sub\r\nlrwxrwxrwx 1 u g 1 Jan 1 2000 l -> a\r\n\
                    drwxr-xr-x    2 u g 4096 Nov 25 20:00 ..\r\n";
        assert_eq!(names(Listing::People, unix), expected);
        let dos = "01-31-24  10:00AM                    7 a b.txt\r\n01-31-24  10:00AM       <DIR>          sub\r\n";
        assert_eq!(names(Listing::People, dos), expected);
        let machine = "type=cdir;modify=1; .\r\nType=file;Size=7; a b.txt\r\ntype=dir; sub\r\ntype=OS.unix=slink; l\r\n";
        assert_eq!(names(Listing::Machine, machine), expected);
        assert_eq!(
            names(Listing::People, "-rw-r--r-- 1 u g 7 Jan 1 2000  lead\n"),
            [(" lead".to_owned(), false)]
        );
    }

    #[test]
    fn a_name_never_leads_elsewhere() {
        for (listing, line) in [
            (Listing::Machine, "type=file; ../../etc/passwd"),
            (Listing::Machine, "type=file; /etc/passwd"),
            (Listing::Machine, "type=file; a\\b"),
            (Listing::People, "-rw-r--r-- 1 u g 7 Jan 1 2000 a/b"),
            (Listing::People, "-rw-r--r-- 1 u g"),
            (Listing::People, "what is this"),
            (Listing::Machine, "nothing"),
        ] {
            assert!(listing.read(line.as_bytes()).is_err(), "{line}");
        }
    }
}
