//! TLS as a client: which certificates are trusted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What calls of one sandbox share to reach the network. TLS is set up on first use: reading the system's certificates takes
/// longer than many a call.
#[derive(Debug, Default)]
pub(crate) struct Network {
    ca_bundle: Option<PathBuf>,
    verified: OnceLock<Result<Arc<ClientConfig>, String>>,
    unverified: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlsError(pub(crate) String);

impl Network {
    pub(crate) fn new(ca_bundle: Option<PathBuf>) -> Self {
        Self { ca_bundle, ..Self::default() }
    }

    /// TLS over a connection. The certificate must be for `name`, unless `verify` is false.
    pub(crate) async fn start_tls<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
        verify: bool,
    ) -> Result<TlsStream<S>, TlsError> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let server = ServerName::try_from(bare.to_owned())
            .map_err(|_| TlsError(format!("`{name}` is no name that a certificate can be for")))?;
        let config = if verify {
            self.verified.get_or_init(|| verified(self.ca_bundle.as_deref()))
        } else {
            self.unverified.get_or_init(unverified)
        };
        let config = config.clone().map_err(TlsError)?;
        TlsConnector::from(config)
            .connect(server, stream)
            .await
            .map_err(|error| TlsError(explain(name, &error)))
    }
}

/// The system's certificates and those of the site.
fn verified(bundle: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    for error in native.errors {
        tracing::warn!("a certificate of the system can not be used: {error}");
    }
    if let Some(path) = bundle {
        let unusable = |error: &dyn fmt::Display| {
            format!("the certificates in {} can not be used: {error}", path.display())
        };
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        if roots.len() == before {
            return Err(unusable(&"there is none in PEM form in it"));
        }
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Any certificate is taken; who holds its key still has to sign.
fn unverified() -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = Arc::new(AnyCertificate(provider()));
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What rustls says, and what can be done about the usual cases.
fn explain(name: &str, error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the certificate of `{name}` is not trusted ({error}); put the certificate of its authority into the \
             file that `plugins.cafile` in conf/config.ini names"
        ),
        _ => format!("TLS with `{name}` failed: {error}"),
    }
}

/// For hosts that the policy names as not to be verified.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
