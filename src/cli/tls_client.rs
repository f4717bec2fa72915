//! The client's side of TLS, for `healthcheck`.
//!
//! It deliberately trusts every certificate. A probe sends nothing secret and learns one bit; held against the file, a
//! renewed certificate would make a healthy service look ill and have its container restarted, orders and all.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};

/// Makes a connection ready for HTTP.
#[cfg(feature = "tls")]
pub(super) fn shake_hands(stream: TcpStream, ip: IpAddr) -> io::Result<impl Read + Write> {
    use std::sync::Arc;

    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust::Everybody(provider)))
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ip.into()).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// Refuses: this binary was built without TLS.
#[cfg(not(feature = "tls"))]
pub(super) fn shake_hands(_: TcpStream, _: IpAddr) -> io::Result<impl Read + Write> {
    Err::<TcpStream, _>(io::Error::other("this binary was built without TLS"))
}

#[cfg(feature = "tls")]
mod trust {
    //! Whom a probe trusts.

    use std::sync::Arc;

    use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// Whoever holds the key of the certificate it shows.
    #[derive(Debug)]
    pub(super) struct Everybody(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for Everybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
