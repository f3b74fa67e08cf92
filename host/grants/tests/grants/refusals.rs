//! Refusals as data: what is one, what it says, and that it comes out of JSON as it went in.

use autoexec_grants::{Access, Advice, Capability, DecisionOutcome, Facts, Policy, Refusal, Request};

/// What becomes of a probe of that port.
fn refusal(policy: &str, port: u16) -> Option<Refusal> {
    let policy = Policy::parse(&[("a.toml", policy)]).unwrap_or_else(|error| panic!("{error}\n{policy}"));
    let access = Access::NetProbe { host: "10.0.0.8", port, address: None };
    policy.decide(&Request { tool: "a/b", digest: None, access }, &Facts::default()).refusal()
}

fn with_mode(mode: &str) -> String {
    format!("mode = \"{mode}\"\n[[grant]]\ntools = [\"a/b\"]\nnet-probe = {{ hosts = [\"10.0.0.8:22\"] }}\n")
}

#[test]
fn what_is_denied_or_would_be_is_a_refusal() {
    for (mode, outcome) in [
        ("enforce", Some(DecisionOutcome::Denied)),
        ("monitor", Some(DecisionOutcome::WouldDeny)),
        ("learn", None),
    ] {
        assert_eq!(refusal(&with_mode(mode), 22), None, "{mode}: it is allowed");
        assert_eq!(refusal(&with_mode(mode), 23).map(|refusal| refusal.outcome), outcome, "{mode}");
    }
    let refusal = refusal(&with_mode("enforce"), 23).unwrap();
    assert_eq!(refusal.to_string(), "`net-probe` on 10.0.0.8:23: no rule allows it");
    assert_eq!((refusal.tool.as_str(), refusal.capability), ("a/b", Capability::NetProbe));
    assert_eq!((refusal.argument.as_deref(), refusal.rule), (Some("10.0.0.8:23"), None));
}

/// One of each kind of advice.
fn each_kind() -> [Refusal; 3] {
    let denied = "[[grant]]\ntools = [\"*\"]\nnet-probe = { hosts = [\"*\"], deny = [\"10.0.0.8\"] }\n";
    let ceiling = "[ceiling]\nnet-probe = { hosts = [\"10.0.0.8:22\"] }\n[[grant]]\ntools = [\"*\"]\nnet-probe = { hosts = [\"10.0.0.0/24\"] }\n";
    [with_mode("enforce"), denied.to_owned(), ceiling.to_owned()].map(|policy| refusal(&policy, 23).unwrap())
}

#[test]
fn a_refusal_comes_out_of_json_as_it_went_in() {
    for refusal in each_kind() {
        let text = serde_json::to_string(&refusal).unwrap();
        assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal, "{text}");
    }
    let [add, _, _] = each_kind();
    let json = serde_json::to_value(&add).unwrap();
    assert_eq!((&json["capability"], &json["decision"]), (&"net-probe".into(), &"denied".into()));
    assert_eq!(json["advice"]["kind"], "add-grant");
    assert_eq!(json["advice"]["replaces-built-in"], false);
    let unknown = serde_json::to_string(&add).unwrap().replace("\"net-probe\"", "\"net-prove\"");
    let error = serde_json::from_str::<Refusal>(&unknown).unwrap_err().to_string();
    assert!(error.contains("`net-prove` is no capability"), "{error}");
}

#[test]
fn files_are_renamed_wherever_they_are_named() {
    let [mut add, mut remove, mut ceiling] = each_kind();
    for refusal in [&mut add, &mut remove, &mut ceiling] {
        refusal.rename_files(|file| file.insert_str(0, "own/"));
    }
    assert!(add.rule.is_none());
    assert!(matches!(&add.advice, Some(Advice::AddGrant { file, .. }) if file == "own/a.toml"), "{add:?}");
    assert!(
        matches!(&remove.advice, Some(Advice::RemoveDeny { at }) if at.file == "own/a.toml"),
        "{remove:?}"
    );
    assert_eq!(remove.rule.unwrap().file, "own/a.toml");
    assert!(
        matches!(&ceiling.advice, Some(Advice::AddToCeiling { at, .. }) if at.file == "own/a.toml"),
        "{ceiling:?}"
    );
    assert_eq!(ceiling.rule.unwrap().file, "own/a.toml");
}
