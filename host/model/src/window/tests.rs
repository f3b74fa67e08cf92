use super::*;

fn at(text: &str) -> DateTime {
    text.parse().unwrap()
}

#[test]
fn a_time_is_inside_the_windows_of_the_specification() {
    // 2024-03-04 is a Monday
    for (line, now, inside) in [
        ("20:00-21:00 23:00-03:00", "2024-03-04T20:00", true),
        ("20:00-21:00 23:00-03:00", "2024-03-04T21:00:59", true),
        ("20:00-21:00 23:00-03:00", "2024-03-04T21:01", false),
        ("20:00-21:00 23:00-03:00", "2024-03-04T22:59", false),
        ("20:00-21:00 23:00-03:00", "2024-03-04T23:00", true),
        ("20:00-21:00 23:00-03:00", "2024-03-05T03:00", true),
        ("20:00-21:00 23:00-03:00", "2024-03-05T03:01", false),
        ("WeekDay 7 20:00-21:00", "2024-03-03T20:30", true),
        ("WeekDay 7 20:00-21:00", "2024-03-04T20:30", false),
        ("weekday 1 23:00-06:00", "2024-03-04T23:30", true),
        ("weekday 1 23:00-06:00", "2024-03-05T05:30", true),
        // the replaced executor said yes to these three
        ("weekday 1 23:00-06:00", "2024-03-05T23:30", false),
        ("weekday 1 23:00-06:00", "2024-03-04T05:30", false),
        ("MonthDay 02-28 23:00-06:00", "2024-02-28T05:00", false),
        ("MonthDay 02-28 23:00-06:00", "2024-02-28T23:00", true),
        ("MonthDay 02-28 23:00-06:00", "2024-02-29T06:00", true),
        ("MonthDay 12-31 23:00-06:00", "2024-01-01T01:00", true),
        ("MONTHDAY 02-29 08:00-9:00", "2024-02-29T08:30", true),
        ("Date 2060-12-31 22:00-06:00", "2060-12-31T22:00", true),
        ("Date 2060-12-31 22:00-06:00", "2061-01-01T06:00", true),
        ("Date 2060-12-31 22:00-06:00", "2061-12-31T22:00", false),
        ("20:00-24:00", "2024-03-04T23:59", true),
        ("20:00-20:00", "2024-03-04T20:00", true),
        ("20:00-20:00", "2024-03-04T20:01", false),
        ("23:00-06:00", "-009999-01-01T01:00", false),
    ] {
        let windows = MaintenanceWindows::parse([line]);
        assert!(windows.malformed().is_empty(), "{line}");
        assert_eq!(windows.matching(at(now)).is_some(), inside, "{line} at {now}");
    }
}

#[test]
fn the_first_matching_line_is_told() {
    let windows = MaintenanceWindows::parse([r"01:00-02:00\n 10:00-12:00 ", "11:00-13:00\n\n15:00-16:00"]);
    assert_eq!(windows.lines().count(), 4);
    assert_eq!(windows.matching(at("2024-03-04T11:30")), Some("10:00-12:00"));
    assert_eq!(windows.matching(at("2024-03-04T12:30")), Some("11:00-13:00"));
    assert_eq!(windows.matching(at("2024-03-04T14:00")), None);
    assert_eq!(MaintenanceWindows::parse([]).matching(at("2024-03-04T14:00")), None);
}

#[test]
fn a_malformed_line_never_matches_and_says_which_part() {
    for (line, error) in [
        ("always", "time window `always` is ignored: `always` is not a time range such as 20:00-21:00"),
        (
            "25:00-26:00",
            "time window `25:00-26:00` is ignored: `25:00-26:00` is not a time range such as 20:00-21:00",
        ),
        (
            "00:00-24:01",
            "time window `00:00-24:01` is ignored: `00:00-24:01` is not a time range such as 20:00-21:00",
        ),
        (
            "00:00-23:59 x",
            "time window `00:00-23:59 x` is ignored: `x` is not a time range such as 20:00-21:00",
        ),
        (
            "WeekDay 8 00:00-23:59",
            "time window `WeekDay 8 00:00-23:59` is ignored: `8` is not a day of the week from 1 (Monday) to 7 (Sunday)",
        ),
        (
            "WeekDay",
            "time window `WeekDay` is ignored: `` is not a day of the week from 1 (Monday) to 7 (Sunday)",
        ),
        ("WeekDay 1", "time window `WeekDay 1` is ignored: `` is not a time range such as 20:00-21:00"),
        (
            "MonthDay 02-30 00:00-23:59",
            "time window `MonthDay 02-30 00:00-23:59` is ignored: `02-30` is not a month and day such as 02-28",
        ),
        (
            "Date 2023-02-29 00:00-23:59",
            "time window `Date 2023-02-29 00:00-23:59` is ignored: `2023-02-29` is not a date such as 2060-12-31",
        ),
    ] {
        let windows = MaintenanceWindows::parse([line]);
        assert_eq!(windows.malformed().iter().map(ToString::to_string).collect::<Vec<_>>(), [error]);
        assert_eq!(windows.matching(at("2024-03-04T12:00")), None);
    }
}

proptest::proptest! {
    #[test]
    fn no_line_makes_reading_panic(text in "(week|month)?day |date |[0-9:-]{0,12}( [0-9:-]{0,12}){0,3}|.{0,20}") {
        let windows = MaintenanceWindows::parse([text.as_str()]);
        let _ = windows.matching(at("2024-03-04T12:00"));
    }
}
