//! TLS is verified, always.

use autoexec_console::{ConsoleClient, ConsoleError};
use autoexec_test_support::server::{Config, ConsoleDouble};

use crate::setup::{server, settings};

fn secure() -> ConsoleDouble {
    ConsoleDouble::start(Config { tls: true, ..Config::default() }).unwrap()
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let server = secure();
    let client = ConsoleClient::new(settings(&server.base_url())).unwrap();
    let error = client.clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Tls { .. }), "{error:?}");
    assert!(!error.is_transient() && error.to_string().contains("certificate"), "{error}");
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn a_known_authority_is_accepted() {
    let server = secure();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, server.ca_pem().unwrap()).unwrap();
    for base_url in [server.base_url(), format!("https://localhost:{}", server.address().port())] {
        let mut settings = settings(&base_url);
        settings.ca_file = Some(bundle.clone());
        ConsoleClient::new(settings).unwrap().clean_up_tools(1).await.unwrap();
    }
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let certificate_names = vec!["console.example".to_owned()];
    let server = ConsoleDouble::start(Config { tls: true, certificate_names, ..Config::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, server.ca_pem().unwrap()).unwrap();
    let mut settings = settings(&server.base_url());
    settings.ca_file = Some(bundle);
    let error = ConsoleClient::new(settings).unwrap().clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn another_authority_does_not_help() {
    let (server, other) = (secure(), secure());
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.pem");
    std::fs::write(&bundle, other.ca_pem().unwrap()).unwrap();
    let mut settings = settings(&server.base_url());
    settings.ca_file = Some(bundle);
    let error = ConsoleClient::new(settings).unwrap().clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_to_a_plain_port_is_an_error_of_tls() {
    let server = server();
    let base_url = server.base_url().replace("http:", "https:");
    let error = ConsoleClient::new(settings(&base_url)).unwrap().clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Tls { .. }), "{error:?}");
}

#[test]
fn a_bundle_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let mut settings = settings("https://127.0.0.1:1");
    settings.ca_file = Some(path.clone());
    for content in
        [None, Some("no certificate"), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = ConsoleClient::new(settings.clone()).unwrap_err().to_string();
        assert!(error.contains("ca.pem") || error.contains("TLS"), "{error}");
    }
}
