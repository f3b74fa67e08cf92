//! Lengths and numbers at their bounds: the last that is taken, and the first that is not.

use autoexec_grants::{
    Access, AddressClass, DataDirection, Facts, Host, HostError, NamePattern, NamePatternError, PathError,
    Policy, Reason, Request, WordsPattern, WordsPatternError,
};

fn reason(line: &str, access: Access<'_>) -> Reason {
    let policy = Policy::parse(&[("p", format!("[[grant]]\ntools = [\"*\"]\n{line}\n"))]).unwrap();
    policy.decide(&Request { tool: "a/b", digest: None, access }, &Facts::default()).reason
}

#[test]
fn patterns_are_as_long_as_they_may_be() {
    let name = |length: usize| NamePattern::parse(&"a".repeat(length)).map(|_| ());
    assert_eq!((name(512), name(513)), (Ok(()), Err(NamePatternError::TooLong)));
    let any = NamePattern::parse("*").unwrap();
    assert!(any.matches(&"a".repeat(512)) && !any.matches(&"a".repeat(513)));
    let words = |count: usize, length: usize| {
        WordsPattern::parse(&vec!["a".repeat(length); count].join(" ")).map(|_| ())
    };
    assert_eq!((words(256, 1), words(257, 1)), (Ok(()), Err(WordsPatternError::TooLong)));
    assert_eq!((words(1, 4096), words(1, 4097)), (Ok(()), Err(WordsPatternError::TooLong)));
}

#[test]
fn hosts_are_as_long_as_they_may_be() {
    let host = |text: String| Host::parse(&text).map(|_| ());
    let labels = "a".repeat(61) + ".";
    for (last, expected) in [(5, Ok(())), (6, Err(HostError::TooLong))] {
        assert_eq!(host(labels.repeat(4) + &"a".repeat(last)), expected);
        // The dot at the end is not of the name.
        assert_eq!(host(labels.repeat(4) + &"a".repeat(last) + "."), expected);
    }
    assert_eq!((host("a".repeat(63)), host("a".repeat(64))), (Ok(()), Err(HostError::Name)));
    assert_eq!(host("ä".repeat(200)), Err(HostError::TooLong), "before anything else is looked at");
}

#[test]
fn names_and_paths_are_as_long_as_they_may_be() {
    let lock =
        |length: usize| reason("lock = { names = [\"*\"] }", Access::Lock { name: &"a".repeat(length) });
    assert_eq!((lock(256), lock(257)), (Reason::Granted, Reason::Name));
    let file = |length: usize| {
        let path = "/data/".to_owned() + &"a".repeat(length - 6);
        reason(
            "filesystem = { read = [\"/data\"] }",
            Access::Filesystem { path: &path, direction: DataDirection::Read },
        )
    };
    assert_eq!((file(4096), file(4097)), (Reason::Granted, Reason::Path(PathError::TooLong)));
}

#[test]
fn arguments_are_shown_up_to_a_length() {
    let shown = |length: usize| Access::Server { call: &"ä".repeat(length) }.argument().unwrap();
    assert_eq!(shown(256), "ä".repeat(256));
    assert_eq!(shown(257), "ä".repeat(256) + "…");
}

#[test]
fn a_class_of_addresses_has_a_name_for_people() {
    for (class, name) in [
        (AddressClass::Unspecified, "unspecified"),
        (AddressClass::Loopback, "loopback"),
        (AddressClass::Private, "private"),
        (AddressClass::Shared, "shared"),
        (AddressClass::LinkLocal, "link-local"),
        (AddressClass::Metadata, "cloud metadata"),
        (AddressClass::Translated, "translated"),
        (AddressClass::Multicast, "multicast"),
        (AddressClass::Reserved, "reserved"),
    ] {
        assert_eq!(class.to_string(), name);
    }
}
