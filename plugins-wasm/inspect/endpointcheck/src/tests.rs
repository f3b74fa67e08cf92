use super::*;
use autoexec_sdk::server::ServerError;
use autoexec_sdk::testing::Host;
use serde_json::Value;

const ATTRIBUTES: &str = "rest/cmdb/cientity/attrentity/get";
const CONFIGURATION: &str = "rest/resourcecenter/resource/accessendpoint/get";

fn host(attributes: Result<Value, ServerError>) -> Host {
    let host = Host::new();
    host.set_node(|node| {
        node.host = "10.0.0.7".into();
        node.port = Some(8080);
        node.resource_id = 7;
    });
    let parameters = json!({"jobId": 1, "ciEntityId": 7, "attrList": ["access_type", "access_endpoint"]});
    host.server()
        .call(ATTRIBUTES, parameters)
        .answers(attributes.map(|data| json!({"attrEntityData": data})));
    host
}

fn with_endpoint(kind: &str, endpoint: &str) -> Host {
    let value = |name: &str, value: &str| json!({"name": name, "actualValueList": [value]});
    host(Ok(json!({"attr_1": value("access_type", kind), "attr_2": value("access_endpoint", endpoint)})))
}

fn record(host: &Host) -> Value {
    host.run::<EndpointCheck>(json!({})).unwrap();
    host.output("DATA").unwrap()
}

#[test]
fn the_inventory_says_what_is_looked_at() {
    let host = with_endpoint("TCP", "db.example.net:3306");
    host.net_probe().tcp_connect("db.example.net", 3306).answers(Ok(3));
    let expected = json!({"_OBJ_CATEGORY": "EMPTY", "_OBJ_TYPE": "EMPTY", "ACCESS_TYPE": "TCP",
        "ACCESS_ENDPOINT": "db.example.net:3306", "AVAILABILITY": 1, "ERROR_MESSAGE": null, "RESPONSE_TIME": 0});
    assert_eq!(record(&host), expected);
    drop(host);

    let host = with_endpoint("HTTPS", "https://shop.example.net/");
    host.http().request("GET", "https://shop.example.net/").responds(503, "");
    let data = record(&host);
    assert_eq!(
        (&data["AVAILABILITY"], &data["ERROR_MESSAGE"]),
        (&json!(0), &json!("the answer has the status 503"))
    );
    drop(host);

    let host = with_endpoint("PING", "[::1]:80");
    host.net_probe().icmp_echo("::1").answers(Err(ProbeError::TimedOut));
    assert_eq!(record(&host)["ERROR_MESSAGE"], json!("pinging ::1: no answer in time"));
}

#[test]
fn what_the_inventory_does_not_say_is_derived() {
    for (endpoint, kind) in
        [("http://h/", "HTTP"), ("h:80", "TCP"), ("[::1]:80", "TCP"), ("::1", "PING"), ("h", "PING")]
    {
        let host = with_endpoint("", endpoint);
        match kind {
            "HTTP" => host.http().request("GET", endpoint).responds(200, ""),
            "TCP" => host
                .net_probe()
                .tcp_connect(
                    endpoint.trim_start_matches('[').split(']').next().unwrap().trim_end_matches(":80"),
                    80,
                )
                .answers(Ok(1)),
            _ => host.net_probe().icmp_echo(endpoint).answers(Ok(1)),
        }
        assert_eq!(record(&host)["ACCESS_TYPE"], json!(kind), "{endpoint}");
    }
    for attributes in [Err(ServerError::None), Ok(json!({}))] {
        let host = host(attributes);
        host.net_probe().tcp_connect("10.0.0.7", 8080).answers(Ok(1));
        assert_eq!(record(&host)["ACCESS_ENDPOINT"], json!("10.0.0.7:8080"));
    }
}

#[test]
fn what_can_not_be_looked_at_is_no_answer() {
    let fails = |host: &Host, expected: &str| {
        let failure = host.run::<EndpointCheck>(json!({})).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().contains(expected), "{failure}");
        assert_eq!(host.output("DATA").unwrap()["AVAILABILITY"], json!(0));
    };
    fails(&with_endpoint("BATCH", "x"), "stored script");
    fails(&with_endpoint("ODD", "x"), "type ODD");
    fails(&with_endpoint("TCP", "x"), "no host:port");
    fails(&host(Err(ServerError::Refused("no such resource".into()))), "no such resource");
    let host = with_endpoint("TCP", "h:1");
    host.net_probe().tcp_connect("h", 1).answers(Err(ProbeError::Denied("no rule".into())));
    fails(&host, "not granted");
}

fn with_sequence(configuration: Value) -> Host {
    let host = with_endpoint("URL-SEQUENCE", "shop");
    let parameters = json!({"jobId": 1, "tenant": "", "resourceId": 7});
    host.server().call(CONFIGURATION, parameters).answers(Ok(configuration));
    host
}

fn steps() -> Value {
    json!([
        {"name": "login", "url": "http://h/login", "method": "POST-FORM", "data": {"user": "a b", "pw": "x&y"},
            "matchKey": "welcome", "extractConf": [{"token": "token=(\\w+)"}]},
        {"name": "order", "url": "http://h/order/${token}", "method": "POST-JSON", "data": {"list": ["${token}", 1]}, "proxy": ""}
    ])
}

#[test]
fn a_sequence_keeps_cookies_and_variables() {
    let host = with_sequence(steps());
    let login = host.http().request("POST", "http://h/login").with_header("set-cookie", "s=1");
    login.checked(|sent| assert_eq!(sent.body, b"user=a+b&pw=x%26y")).responds(200, "welcome token=abc;");
    let order = host.http().request("POST", "http://h/order/abc");
    order
        .checked(|sent| {
            assert_eq!(
                (sent.header("cookie"), sent.header("content-type")),
                (Some("s=1"), Some("application/json"))
            );
            assert_eq!(sent.body, br#"{"list":["abc",1]}"#);
        })
        .responds(200, "");
    assert_eq!(record(&host)["AVAILABILITY"], json!(1));
}

#[test]
fn the_first_failure_ends_a_sequence() {
    for (status, body, expected) in [
        (500, "", "login: the answer has the status 500"),
        (200, "token=abc", "login: `welcome` is not in the answer"),
        (200, "welcome", "login: nothing in the answer is `token=(\\w+)` (for ${token})"),
    ] {
        let host = with_sequence(steps());
        host.http().request("POST", "http://h/login").responds(status, body);
        assert_eq!(record(&host)["ERROR_MESSAGE"], json!(expected));
    }
}

#[test]
fn a_configuration_that_is_none_is_said() {
    for (configuration, expected) in [
        (json!(null), "it is no list of requests"),
        (json!([]), "it is no list of requests"),
        (json!({"list": steps()}), "it is no list of requests"),
        (json!([{"url": "http://h/", "method": "PUT"}]), "unknown variant `PUT`"),
    ] {
        let host = with_sequence(configuration);
        let failure = host.run::<EndpointCheck>(json!({})).unwrap_err();
        assert!(failure.message().contains(expected), "{failure}");
    }
    let host = with_sequence(json!([{"url": "http://h/", "matchKey": "("}]));
    host.http().request("GET", "http://h/").responds(200, "");
    assert!(host.run::<EndpointCheck>(json!({})).unwrap_err().message().contains("no regular expression"));
}
