//! Start, stop, process and log checks, availability checks, and the demonstration tools.

use serde_json::json;

use crate::machine::{Machine, call};

/// A service for the tests: announces itself in a log, answers on a port, and goes when it is told to.
const SERVER: &str = r#"#!/usr/bin/env perl
use strict; use warnings; use IO::Socket::INET;
my ($port, $log) = @ARGV;
$SIG{TERM} = sub { open my $f, '>>', $log; print $f "bye\n"; exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 5, ReuseAddr => 1) or die "port: $!";
open my $f, '>>', $log or die; print $f "up on $port\n"; close $f;
while (my $client = $server->accept) {
    my $request = <$client> // '';
    my ($path) = $request =~ m{^\w+ (\S+)};
    my $length = 0; while (my $line = <$client>) { $length = $1 if $line =~ /^content-length: (\d+)/i; last if $line =~ /^\r?\n/ }
    my $body = ''; read $client, $body, $length if $length;
    open my $f, '>>', "$log.requests"; print $f "$request$body\n"; close $f;
    if (($path // '') eq '/login') { print $client "HTTP/1.1 302 Found\r\nLocation: /home\r\nSet-Cookie: id=7; Path=/\r\nContent-Length: 0\r\n\r\n" }
    elsif (($path // '') eq '/missing') { print $client "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" }
    else { print $client "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" }
    close $client;
}
"#;

fn machine_with_server() -> Option<Machine> {
    let machine = Machine::start().unwrap()?;
    machine.scratch.write("/opt/server", SERVER).unwrap();
    machine.scratch.sh("chmod 755 /opt/server; mkdir -p /var/log/app").unwrap();
    Some(machine)
}

#[test]
fn a_service_is_started_and_stopped_and_a_time_limit_is_a_failure() {
    let Some(machine) = machine_with_server() else { return };
    let scratch = &machine.scratch;
    let start = call("startstop/startwait")
        .with("prescript", "/opt/server 8081 /var/log/app/a.log")
        .with("addr", "127.0.0.1:8081")
        .with("timeout", "20")
        .with("postscript", "echo after")
        .arg("/var/log/app/*.log");
    // Its output is the channel's: the tool ends all the same.
    let kept = start.clone().with("prescript", "/opt/server 8081 /var/log/app/a.log").with("closetty", "0");
    let stop = call("startstop/stopwait")
        .with("prescript", "pkill -f '^perl /opt/server|^/usr/bin/perl /opt/server'")
        .with("addr", "http://127.0.0.1:8081/;127.0.0.1:8081")
        .with("timeout", "20")
        .arg("/var/log/app/a.log");
    let never = call("startstop/stopwait")
        .with("prescript", "true")
        .with("addr", "127.0.0.1:8081")
        .with("timeout", "1");
    let never = never.arg("/var/log/app/a.log");
    let count = call("startstop/checkprocess").with("checkexp", "==1").arg("perl /opt/serve[r]");
    let done = machine
        .run_all(&[
            start.check(),
            kept,
            count.clone(),
            count.with("checkexp", ">=2"),
            start.clone(),
            never,
            stop.check(),
            stop.clone(),
            stop,
            start.with("prescript", "exit 3").with("timeout", "3").with("closetty", "1"),
        ])
        .unwrap();
    assert!(
        done[0].ended(0).log.contains("Check only: the service is down; would execute: /opt/server"),
        "{}",
        done[0].log
    );
    let first = done[1].ended(0);
    for line in [
        "INFO: Get log pattern:/var/log/app/*.log",
        "INFO: Log file /var/log/app/*.log not exist, it will be opened while created.",
        "INFO: Execte script:/opt/server 8081 /var/log/app/a.log",
        "INFO: Waiting service to start....",
        "INFO: Service 127.0.0.1:8081 is started.",
        "INFO: Execte post script:echo after",
        "after",
        "a.log:up on 8081",
    ] {
        assert!(first.said(line), "{line}: {}", first.log);
    }
    assert!(done[2].ended(0).said("INFO: Passed, process count:1==1."), "{}", done[2].log);
    assert!(done[3].ended(1).said("ERROR: Not passed, process count:1>=2."), "{}", done[3].log);
    assert!(done[4].ended(0).said("INFO: Service is already started."), "{}", done[4].log);
    assert!(!done[4].log.contains("Execte script"), "{}", done[4].log);
    assert!(done[5].ended(1).said("WARN: Check timeout(1)"), "{}", done[5].log);
    assert!(done[5].said("WARN: Service 127.0.0.1:8081 is up."), "{}", done[5].log);
    assert!(done[6].ended(0).log.contains("would execute: pkill"), "{}", done[6].log);
    assert!(
        done[7].ended(0).said("INFO: Service http://127.0.0.1:8081/,127.0.0.1:8081 is stopped."),
        "{}",
        done[7].log
    );
    assert!(done[7].said("a.log:bye"), "{}", done[7].log);
    assert!(done[8].ended(0).said("INFO: Service is already stopped."), "{}", done[8].log);
    let failed = done[9].ended(1);
    assert!(
        failed.said("WARN: Execute command failed:exit 3")
            && failed.said("WARN: Service 127.0.0.1:8081 is down."),
        "{}",
        failed.log
    );
    assert!(!scratch.try_sh("pgrep -f opt/serve[r]").unwrap().status.success(), "nothing is left");
}

#[test]
fn a_marker_in_a_log_ends_the_wait_and_log_files_are_checked() {
    let Some(machine) = machine_with_server() else { return };
    let scratch = &machine.scratch;
    scratch.write("/var/log/app/old.log", "Server started\nERROR one\n").unwrap();
    let start = call("startstop/startwait")
        .with("prescript", "printf 'Server star' >> /var/log/app/old.log; sleep 0.2; echo 'ted in 5 s' >> /var/log/app/old.log")
        .with("eofstr", "Server started in \\d+ s")
        .with("timeout", "20")
        .arg("/var/log/app/old.log");
    let in_vain =
        start.clone().with("prescript", "echo nothing >> /var/log/app/old.log").with("timeout", "1");
    let log = call("startstop/checklog").arg("/var/log/app/*.log");
    let done = machine
        .run_all(&[
            start.clone(),
            in_vain,
            log.clone(),
            log.clone().with("pattern", "FATAL"),
            log.clone().with("failcheck", "0").with("pattern", "started in \\d"),
            log.clone().with("failcheck", "0").with("pattern", "never"),
            call("startstop/checklog").arg("/var/log/app/*.none"),
            log.with("pattern", "(").with("failcheck", "0"),
            start.with("eofstr", ""),
        ])
        .unwrap();
    assert!(done[0].ended(0).said("INFO: 'Server started in \\d+ s' matched."), "{}", done[0].log);
    assert!(!done[0].log.contains("ERROR one"), "what was there before is not shown: {}", done[0].log);
    assert!(done[1].ended(1).said("old.log:nothing"), "{}", done[1].log);
    assert!(
        done[1].said("WARN: Wait to get eof string:Server started in \\d+ s timeout(1 seconds)."),
        "{}",
        done[1].log
    );
    assert!(done[2].ended(1).said("ERROR: Log file had fail key words."), "{}", done[2].log);
    assert!(done[2].said("/var/log/app/old.log:ERROR one"), "{}", done[2].log);
    assert!(done[3].ended(0).said("INFO: Log file had no fail key words."), "{}", done[3].log);
    assert!(done[4].ended(0).said("INFO: Log file had success key words."), "{}", done[4].log);
    assert!(done[5].ended(1).said("ERROR: Log file had no success key words."), "{}", done[5].log);
    assert!(done[6].ended(1).said("ERROR: No log file matches /var/log/app/*.none."), "{}", done[6].log);
    done[7].ended(1);
    assert!(done[8].ended(1).said("ERROR: Either --addr or --eofstr is needed."), "{}", done[8].log);
}

#[test]
fn availability_is_recorded_and_never_fails_the_tool() {
    let Some(machine) = machine_with_server() else { return };
    let scratch = &machine.scratch;
    let port = scratch.port();
    scratch.sh("nohup /opt/server 8082 /var/log/app/b.log >/dev/null 2>&1 &").unwrap();
    scratch.sh("until grep -q up /var/log/app/b.log 2>/dev/null; do sleep 0.02; done").unwrap();
    let good = call("svcinspect/urlcheck")
        .arg("GET,http://user:pa55@${host}:8082/login")
        .arg("POST, http://127.0.0.1:8082/data, {\"a\": 1, \"b\": 2}");
    let bad = call("svcinspect/urlcheck")
        .arg("GET,http://127.0.0.1:8082/missing")
        .arg("GET,http://127.0.0.1:8082/never");
    let nobody = call("svcinspect/urlcheck").arg("GET,http://127.0.0.1:8083/");
    let done = machine
        .run_all(&[
            good,
            bad,
            nobody,
            call("svcinspect/tcpcheck").with("timeout", "3"),
            call("svcinspect/urlcheck").arg("http://127.0.0.1/"),
        ])
        .unwrap();
    let record = &done[0].ended(0).output["DATA"];
    let expected = json!({"AVAILABILITY": 1, "ERROR_MESSAGE": "", "MGMT_IP": "127.0.0.1", "PORT": port, "RESOURCE_ID": 71,
        "RESPONSE_TIME": record["RESPONSE_TIME"]});
    assert_eq!(record, &expected, "{}", done[0].log);
    assert!(done[0].said("INFO: Http request http://user:******@127.0.0.1:8082/login."), "{}", done[0].log);
    assert!(!done[0].log.contains("pa55"), "{}", done[0].log);
    assert!(done[0].said("FINE: Http requests all complete succeed."), "{}", done[0].log);
    let requests = scratch.read("/var/log/app/b.log.requests").unwrap();
    assert!(requests.contains("GET /home HTTP/1.1"), "a redirect is followed: {requests}");
    assert!(requests.contains("{\"a\": 1, \"b\": 2}"), "a body may have commas: {requests}");
    assert!(!requests.contains("/never"), "the first failure ends the session: {requests}");
    assert_eq!(done[1].ended(0).output["DATA"]["AVAILABILITY"], 0);
    assert_eq!(
        done[1].output["DATA"]["ERROR_MESSAGE"],
        "Http request http://127.0.0.1:8082/missing failed, status 404."
    );
    let refused = done[2].ended(0).output["DATA"]["ERROR_MESSAGE"].as_str().unwrap();
    assert!(refused.contains("refused"), "{refused}");
    // The node's port is that of this machine's listener, which the scratch machine does not have.
    assert_eq!(done[3].ended(0).output["DATA"]["AVAILABILITY"], 0);
    assert!(done[3].said(&format!("INFO: Try to connect to 127.0.0.1:{port}.")), "{}", done[3].log);
    assert!(done[4].ended(1).log.contains("METHOD,URL[,BODY] is wanted"), "{}", done[4].log);
}

#[test]
fn the_demonstration_is_the_same_in_three_languages() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let demo = |tool: &str| {
        call(tool)
            .with("tinput", "it's \"text\"")
            .with("tjson", "{\"a\": [1]}")
            .with("tpassword", "pa55word")
            .with("tdate", "2026-01-31")
            .arg("first")
            .arg("two words")
    };
    let done = machine.run_all(&[demo("demo/remote"), demo("demo/remotepl"), demo("demo/remotepy")]).unwrap();
    for done in &done {
        done.ended(0);
        assert!(done.said("tinput:it's \"text\"") && done.said("tjson:{\"a\": [1]}"), "{}", done.log);
        assert!(done.said("tpassword:********") && !done.log.contains("pa55"), "{}", done.log);
        assert!(done.said("tmultiselect:[\"sel1\",\"sel2\"]"), "{}", done.log);
        assert!(done.said("argument:two words") && done.said("Loop:3"), "{}", done.log);
        assert_eq!(done.output["outjsonlist"][1]["key2"]["inner"], "value22");
    }
    assert_eq!(done[0].output, done[1].output);
    assert_eq!(done[0].output, done[2].output);
}

#[test]
fn a_container_is_replaced_and_a_failure_is_one() {
    let Some(machine) = Machine::start().unwrap() else { return };
    let scratch = &machine.scratch;
    // Containers can not run in a scratch machine: what docker is told is written down, and a bad image fails as there.
    let docker = "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done >> /run/told; echo >> /run/told\n\
                  case $* in *broken*) exit 125 ;; rm*) exit 1 ;; esac\n";
    scratch.write("/usr/local/bin/docker", docker).unwrap();
    scratch.sh("chmod 755 /usr/local/bin/docker").unwrap();
    let start = call("startstop/dockerrun")
        .with("name", "shop")
        .with("image", "cart")
        .with("tagname", "PRD-1.0")
        .with("ports", "8080:80,8443:443")
        .with("network", "front")
        .arg("-e")
        .arg("A=b c");
    let broken = start.clone().with("image", "broken");
    let done = machine.run_all(&[start.check(), start, broken]).unwrap();
    let command = "docker run -d --name=shop -p 8080:80 -p 8443:443 --net front -e A=b c cart:prd-1.0";
    assert!(done[0].ended(0).said(&format!("INFO: Would execute-> {command}")), "{}", done[0].log);
    assert!(done[1].ended(0).said(&format!("INFO: Execute-> {command}")), "{}", done[1].log);
    assert!(done[1].said("INFO: Docker run success."), "{}", done[1].log);
    assert!(done[2].ended(125).said("ERROR: Docker run failed."), "{}", done[2].log);
    let told = scratch.read("/run/told").unwrap();
    let run = "<run><-d><--name=shop><-p><8080:80><-p><8443:443><--net><front><-e><A=b c><cart:prd-1.0>";
    assert_eq!(
        told.lines().take(2).collect::<Vec<_>>(),
        ["<rm><-vf><shop>", run],
        "and a check tells nothing: {told}"
    );
}
