use super::expression::{Expression, Operator};
use super::*;
use proptest::prelude::*;

/// The environment of the specification's vectors, and one regular file `conf/x`.
struct Fixture;

impl Environment for Fixture {
    fn variable(&self, name: &str) -> Option<String> {
        let value = match name {
            "A" => "5",
            "B" => "5.0",
            "S" => "abc",
            "V" => "1.2.3",
            "N" => "-5",
            "EMPTY" => "",
            "Q" => r#"a"b"#,
            "CONF" => "conf",
            "名" => "值",
            "BIG" => "620011223344556677",
            "BIGGER" => "620011223344556678",
            "HUGE" => "99999999999999999999999999999999999999999999",
            "SECRET" => "hunter2",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(&self, test: FileTest, path: &str) -> bool {
        match test {
            FileTest::Regular => path == "conf/x",
            FileTest::Exists => matches!(path, "conf/x" | "conf" | "5"),
            FileTest::Directory => path == "conf",
            FileTest::Link => false,
        }
    }
}

fn evaluate(text: &str) -> Result<bool, EvaluationError> {
    Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).evaluate(&Fixture)
}

#[test]
fn conditions_of_the_specification_hold() {
    for text in [
        r#"$A == "5""#,
        "${A} = 5",
        "$A == $B",
        "not $A == 6",
        r#""pre-$S" == "pre-abc""#,
        r#"$S contains "b""#,
        r#"$S == "abc" and $A > 3 or not $A == 5"#,
        "$A=5and$A!=6",
    ] {
        assert_eq!(evaluate(text), Ok(true), "{text}");
    }
    for text in ["not $A == 5 and $A == 5", r#"$NOPE == "x""#, "$A=5and$B=6"] {
        assert_eq!(evaluate(text), Ok(false), "{text}");
    }
}

#[test]
fn operators_bind_as_in_arithmetic() {
    for text in [
        "1 + 2 == 3",
        "$A + 1 == 6",
        "2 + 3 * 4 == 14",
        "(2 + 3) * 4 == 20",
        "10 - 2 - 3 == 5",
        "7 / 2 == 3.5",
        "6 / 3 == 2",
        "1 == 1 or 1 == 2 and 1 == 2",
        "not (1 == 2 or 1 == 3)",
        "not not 1 == 1",
        "NOT 1 == 2 AND 1 == 1 Or 1 == 2",
        "$A == 5.0",
        "$A >= 5 and $A <= 5 and not $A < 5 and not $A > 5",
        ".5 < 1",
        "5. == 5",
    ] {
        assert_eq!(evaluate(text), Ok(true), "{text}");
    }
}

#[test]
fn negative_numbers_compare_as_numbers() {
    for text in
        ["-5 < 3", "$N == -5", "$N < 0", "$A - -5 == 10", "$A -5 == 0", "-.5 == -0.5", "$N contains \"-\""]
    {
        assert_eq!(evaluate(text), Ok(true), "{text}");
    }
}

#[test]
fn long_ids_compare_exactly() {
    assert_eq!(evaluate("$BIG == $BIGGER"), Ok(false));
    assert_eq!(evaluate("$BIG < $BIGGER"), Ok(true));
    assert_eq!(evaluate("$HUGE == $HUGE"), Ok(true));
}

#[test]
fn texts_join_and_search() {
    for text in [
        r#"$S + "d" == "abcd""#,
        r#"$S startswith "ab""#,
        "not $S startswith 'b'",
        r#"$V == "1.2.3""#,
        r#"$V > "1.2.2""#,
        r#""${ S }x" == "abcx""#,
        r#""$NOPE ${NOPE}" == "$NOPE ${NOPE}""#,
        r#"$Q == 'a"b'"#,
        r#"$名 == "值""#,
        r#"not "" == "x""#,
        r#"$EMPTY == """#,
        r#""b" > "a""#,
    ] {
        assert_eq!(evaluate(text), Ok(true), "{text}");
    }
    assert_eq!(evaluate(r#"$A == "five""#), Ok(false), "different kinds are unequal");
    assert_eq!(evaluate(r#"$A != "five""#), Ok(true));
}

#[test]
fn a_value_in_and_or_counts_by_its_truth() {
    for (text, truth) in [
        ("$A and 1 == 1", true),
        ("0 or 1 == 1", true),
        ("0 and 1 == 1", false),
        ("0.0 or $EMPTY", false),
        ("($A == 5) == ($B == 5)", true),
        ("not $EMPTY", true),
    ] {
        assert_eq!(evaluate(text), Ok(truth), "{text}");
    }
}

#[test]
fn file_tests_look_at_the_runners_disk() {
    for (text, truth) in [
        (r#"-f "conf/x""#, true),
        (r#"-f$CONF + "/x""#, true),
        (r#"-d "${CONF}""#, true),
        (r#"not -e "conf/y" and -e "conf""#, true),
        ("-e $A", true),
        (r#"-l "conf""#, false),
    ] {
        assert_eq!(evaluate(text), Ok(truth), "{text}");
    }
}

#[test]
fn a_condition_that_cannot_be_computed_says_which_part() {
    for (text, error) in [
        ("$S > 3", "in condition `$S > 3`: `>` needs two numbers or two texts, but got a text and a number"),
        (
            r#"$A contains "5""#,
            r#"in condition `$A contains "5"`: `contains` needs two texts, but got a number and a number"#,
        ),
        (
            "$SECRET - 1 == 0",
            "in condition `$SECRET - 1`: `-` needs two numbers, but got a text and a number",
        ),
        (
            "$SECRET + 1 == 0",
            "in condition `$SECRET + 1`: `+` needs two numbers or two texts, but got a text and a number",
        ),
        ("1 / 0 == 1", "in condition `1 / 0`: division by zero"),
        (
            "99999999999999999999999999999999999999 * 9999 > 1",
            "in condition `99999999999999999999999999999999999999 * 9999`: the result of `*` is out of range",
        ),
        (
            r#"-e "x" == 1"#,
            r#"in condition `-e "x" == 1`: `-e` needs a path, but got true or false; put the file test in parentheses"#,
        ),
        (
            "1 == 1 or $S > 3",
            "in condition `$S > 3`: `>` needs two numbers or two texts, but got a text and a number",
        ),
    ] {
        assert_eq!(evaluate(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn a_text_that_is_no_condition_says_where_and_what_was_expected() {
    let rest = "expected an operator, `and`, `or` or the end, found";
    let operand = "expected a number, a quoted text, a variable with its `$` or `(`, found";
    let start = "expected `not`, a file test, a number, a quoted text, a variable with its `$` or `(`, found";
    for (text, error) in [
        ("true", format!("condition, column 1: {start} `true`")),
        ("", format!("condition, column 1: {start} the end")),
        (r#"abc == "x""#, format!("condition, column 1: {start} `abc`")),
        ("$A == 5 junk", format!("condition, column 9: {rest} `junk`")),
        ("$A == 5 or", format!("condition, column 11: {start} the end")),
        ("$A == ", format!("condition, column 7: {operand} the end")),
        ("$A == not $B", format!("condition, column 7: {operand} `not`")),
        ("$A == 1.2.3", format!("condition, column 10: {rest} `.`")),
        (
            "($A == 5",
            "condition, column 9: expected an operator, `and`, `or` or `)`, found the end".to_owned(),
        ),
        (
            "$A == \"x",
            "condition, column 9: expected the closing quote on the same line, found the end".to_owned(),
        ),
        ("$ == 1", "condition, column 2: expected the name of a variable, found ` `".to_owned()),
        ("${A == 1", "condition, column 5: expected `}`, found `=`".to_owned()),
        ("$名 == 值", format!("condition, column 7: {operand} `值`")),
    ] {
        assert_eq!(Condition::parse(text).unwrap_err().to_string(), error, "{text}");
    }
    assert_eq!(
        Condition::parse("($A)").unwrap_err().to_string(),
        "the condition is a lone value: compare it with something, for example `$A == \"text\"`"
    );
    let huge = format!("$A == {}", "9".repeat(60));
    assert_eq!(
        Condition::parse(&huge).unwrap_err().to_string(),
        "condition, column 7: the number has too many digits; put it in quotes to compare it as text"
    );
}

#[test]
fn nesting_and_length_are_bounded_so_that_no_text_overflows_the_stack() {
    let parens = |depth: usize| format!("{}1 == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(evaluate(&parens(64)), Ok(true));
    for text in [parens(65), parens(30_000), format!("{}1 == 1", "not ".repeat(16_000)), "-f".repeat(30_000)]
    {
        assert_eq!(Condition::parse(&text), Err(ConditionError::TooDeep));
    }
    assert_eq!(evaluate(&format!("1{} == 20001", "+1".repeat(20_000))), Ok(true));
    assert_eq!(evaluate(&format!("1==1{}", " or 1==1".repeat(8_000))), Ok(true));
    assert_eq!(Condition::parse(&" ".repeat(70_000)), Err(ConditionError::TooLong));
}

#[test]
fn a_condition_prints_with_the_fewest_parentheses() {
    for (text, printed) in [
        ("$A=5and(${B}  =  6)", "$A == 5 and ${B} == 6"),
        ("not ($A == 5 or 1 == 2)", "not ($A == 5 or 1 == 2)"),
        ("((1 + 2)) * 3 - (4 - 5) == -1", "(1 + 2) * 3 - (4 - 5) == -1"),
        ("-f ('it\"s' + \"x\")", "-f 'it\"s' + \"x\""),
        ("(1 == 1) == (2 == 2)", "(1 == 1) == (2 == 2)"),
    ] {
        assert_eq!(Condition::parse(text).unwrap().to_string(), printed);
    }
}

fn atoms() -> impl Strategy<Value = Expression> {
    prop_oneof![
        "-?[0-9]{1,6}(\\.[0-9]{0,3})?".prop_map(Expression::Number),
        "[a-z'$ {}_]{0,6}".prop_map(Expression::Text),
        "[a-z\" ]{0,6}".prop_map(Expression::Text),
        ("[A-Za-z_][A-Za-z0-9_]{0,4}", any::<bool>())
            .prop_map(|(name, braced)| Expression::Variable { name, braced }),
    ]
}

fn operators(level: usize) -> impl Strategy<Value = Operator> {
    use Operator as O;
    let of_level: &'static [O] = match level {
        0 => &[
            O::Equal,
            O::NotEqual,
            O::GreaterEqual,
            O::LessEqual,
            O::Less,
            O::Greater,
            O::Contains,
            O::StartsWith,
        ],
        1 => &[O::Add, O::Subtract],
        _ => &[O::Multiply, O::Divide],
    };
    proptest::sample::select(of_level)
}

/// A chain; an operand of the same level in first place would be read back as part of the chain.
fn chain(inner: impl Strategy<Value = Expression> + Clone + 'static) -> impl Strategy<Value = Expression> {
    (0..3_usize).prop_flat_map(move |level| {
        (inner.clone(), proptest::collection::vec((operators(level), inner.clone()), 1..3))
            .prop_map(|(first, rest)| Expression::Chain(Box::new(first), rest))
    })
}

fn expressions() -> impl Strategy<Value = Expression> {
    atoms().prop_recursive(4, 40, 3, |inner| {
        let files = proptest::sample::select(
            &[FileTest::Regular, FileTest::Directory, FileTest::Exists, FileTest::Link][..],
        );
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            inner.clone().prop_map(|operand| Expression::Not(Box::new(operand))),
            (files, inner.clone()).prop_map(|(test, operand)| Expression::File(test, Box::new(operand))),
            chain(inner),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_condition(expression in expressions().prop_filter("a lone value", |e| !e.is_atom())) {
        let condition = Condition(expression);
        let printed = condition.to_string();
        prop_assert_eq!(Condition::parse(&printed), Ok(condition), "{}", printed);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Condition::parse(&text);
    }

    #[test]
    fn no_condition_makes_the_evaluation_panic(
        text in r#"( |\(|\)|not |and|or|==|=|!=|<|>=|\+|-|\*|/|contains|startswith|-f|-e|\$A|\$\{B\}|\$S|"x"|'\$A'|[0-9.]{1,4}){1,25}"#
    ) {
        if let Ok(condition) = Condition::parse(&text) {
            let _ = condition.evaluate(&Fixture);
            prop_assert_eq!(Condition::parse(&condition.to_string()), Ok(condition));
        }
    }
}
