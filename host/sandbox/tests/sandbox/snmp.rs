//! `snmp` against the agent of Net-SNMP.

use std::sync::Arc;

use autoexec_sandbox::Limits;
use autoexec_test_support::snmpd::Snmpd;
use serde_json::{Value, json};

use crate::support::{Recorder, use_everything};

const CONFIG: &str = "rocommunity public 127.0.0.1\nrocommunity s3cret 127.0.0.1\n\
                      createUser monitor SHA-256 longpassphrase AES longpassphrase\nrouser monitor priv\n\
                      sysName test-agent\nsysLocation here\nsysContact nobody\n";

async fn ask(agent: &Snmpd, allowed: &[&str], question: Value) -> Result<Value, String> {
    let mut options = json!({"subject": "127.0.0.1", "port": agent.port()});
    options.as_object_mut().unwrap().extend(question.as_object().unwrap().clone());
    let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
    let host = Arc::new(Recorder { allowed, ..Recorder::default() });
    use_everything(&host, &options, Limits::default()).await
}

#[tokio::test]
async fn all_versions_are_spoken_and_secrets_stay_with_the_host() {
    let agent = Snmpd::start(CONFIG).unwrap();
    // The first question waits until the agent is there: a question without answer is asked again.
    let mut first = Err(String::new());
    for _ in 0..5 {
        first = ask(&agent, &["snmp*"], json!({"what": "snmp"})).await;
        if first.is_ok() {
            break;
        }
    }
    assert_eq!(first, Ok(json!("test-agent")));

    let secret = json!({"what": "snmp", "text": "password", "password": "s3cret"});
    assert!(ask(&agent, &["snmp*"], secret.clone()).await.unwrap_err().contains("Denied"));
    assert_eq!(ask(&agent, &["snmp*", "secret*"], secret).await, Ok(json!("test-agent")));

    let user = json!({"what": "snmp-user", "text": "monitor", "password": "longpassphrase"});
    assert_eq!(ask(&agent, &["snmp*", "secret*"], user).await, Ok(json!("test-agent")));
    let wrong = json!({"what": "snmp-user", "text": "monitor", "password": "wrongpassphrase"});
    assert!(ask(&agent, &["snmp*", "secret*"], wrong).await.is_err());

    let found = ask(&agent, &["snmp*"], json!({"what": "snmp-walk"})).await.unwrap();
    let names: Vec<&str> = found.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        names.contains(&"1.3.6.1.2.1.1.6.0") && names.iter().all(|name| name.starts_with("1.3.6.1.2.1.1."))
    );
    let too_many = ask(&agent, &["snmp*"], json!({"what": "snmp-walk", "text": "2"})).await;
    assert!(too_many.unwrap_err().contains('2'));

    assert!(ask(&agent, &[], json!({"what": "snmp"})).await.unwrap_err().contains("Denied"));
}
