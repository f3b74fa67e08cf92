//! Whatever stands in a policy or comes from a guest: no panic, and what was read is what was meant. The same functions are
//! the fuzz targets of `tests/fuzz`.

#[path = "../../../../tests/fuzz/invariants/grants.rs"]
mod invariants;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Texts made of the pieces of policies.
fn policies() -> impl Strategy<Value = String> {
    let line = select(vec![
        "mode = \"learn\"\n",
        "mode = \"enforce\"\n",
        "[ceiling]\n",
        "[[grant]]\ntools = [\"*\"]\n",
        "[[grant]]\ntools = [\"a/*\", \"a/b\"]\n",
        "[[limits]]\ntools = [\"a/b\"]\n",
        "memory-mib = 5\n",
        "http = { hosts = [\"*\", \"10.0.0.0/8\"] }\n",
        "http = true\n",
        "filesystem = true\n",
        "filesystem = { read = [\"/opt\"], write = [\"/opt/ax\"] }\n",
        "filesystem = { read = [\"${job.dir}/file\"] }\n",
        "[grant.filesystem]\nread = [\"/\"]\n",
        "secret = { \"*\" = { connections = [\"*\"] } }\n",
        "target = { commands = true }\n",
        "server = { calls = [\"*\"] }\n",
        "documents = { read = [\"*\"] }\n",
        "program = { x = \"/x\" }\n",
        "[grant.program.x]\npath = \"/x\"\narguments = [\"a *\"]\nenvironment = [\"A*\"]\n",
        "lock = false\n",
        "\"",
        "{",
        "]",
        "= ",
        "é",
    ]);
    vec(prop_oneof![8 => line.prop_map(str::to_owned), 1 => ".{0,3}"], 0..12).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(super::config(400))]

    #[test]
    fn any_policy(text in policies()) {
        invariants::policy(&text);
    }

    #[test]
    fn any_text_as_a_policy(text in any::<String>()) {
        invariants::policy(&text);
    }

    #[test]
    fn any_pattern(text in any::<String>(), shaped in "[\\[\\]*.:/$@%{}a-f0-9x \"-]{0,24}") {
        invariants::pattern(&text);
        invariants::pattern(&shaped);
    }
}
