//! TLS by rustls, when the service is given a certificate.
//!
//! HTTP/1.1 only, so that is all it negotiates. It deliberately asks clients for no certificate, resumes from its own
//! memory only, and watches no file: a renewed certificate is read when it is told to.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
pub use with_rustls::Tls;

/// A connection that is ready for HTTP.
pub enum Opened {
    /// As it came.
    Plain(TcpStream),
    /// Inside TLS; in a box, since its buffers and keys take more than a kilobyte.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Makes a connection ready for HTTP: at once, or by a handshake.
pub async fn open(stream: TcpStream, tls: Option<Tls>) -> io::Result<Opened> {
    match tls {
        None => Ok(Opened::Plain(stream)),
        Some(tls) => tls.shake_hands(stream).await,
    }
}

#[cfg(feature = "tls")]
mod with_rustls {
    //! The part that needs rustls.

    use std::sync::{Arc, PoisonError, RwLock};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::{Opened, Path, TcpStream, io};

    /// First byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
    const HANDSHAKE: u8 = 22;
    /// Bytes read and forgotten of a client that does not speak TLS; chosen, more than a request's head may have.
    const FORGOTTEN_BYTES: u64 = 64 * 1024;

    /// A certificate and its key; clones share them.
    #[derive(Clone)]
    pub struct Tls(Arc<RwLock<TlsAcceptor>>);

    impl Tls {
        /// Reads both; a sentence if they are of no use, or not of each other.
        pub fn load(cert: &Path, key: &Path) -> Result<Self, String> {
            Ok(Self(Arc::new(RwLock::new(read(cert, key)?))))
        }

        /// Reads both again, for connections to come; on an error those from before stay.
        pub fn reload(&self, cert: &Path, key: &Path) -> Result<(), String> {
            let fresh = read(cert, key)?;
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
            Ok(())
        }

        fn acceptor(&self) -> TlsAcceptor {
            self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
        }

        pub(super) async fn shake_hands(&self, mut stream: TcpStream) -> io::Result<Opened> {
            let mut first = [0_u8; 1];
            if stream.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
                // Most likely plain HTTP. Closing with something unread would be a reset; reading it makes it an end.
                stream.shutdown().await?;
                tokio::io::copy(&mut stream.take(FORGOTTEN_BYTES), &mut tokio::io::sink()).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"));
            }
            self.acceptor().accept(stream).await.map(|stream| Opened::Tls(Box::new(stream)))
        }
    }

    fn read(cert: &Path, key: &Path) -> Result<TlsAcceptor, String> {
        let of_no_use =
            |what: &str, path: &Path, why: &dyn std::fmt::Display| format!("{what} {}: {why}", path.display());
        let no_cert = |why: &dyn std::fmt::Display| of_no_use("--tls-cert", cert, why);
        let no_key = |why: &dyn std::fmt::Display| of_no_use("--tls-key", key, why);
        let text = std::fs::read(cert).map_err(|error| no_cert(&error))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|_| no_cert(&"not PEM"))?;
        if chain.is_empty() {
            return Err(no_cert(&"no certificate in it"));
        }
        let text = std::fs::read(key).map_err(|error| no_key(&error))?;
        // The reader's own error would repeat what it has read: a private key.
        let private = PrivateKeyDer::from_pem_slice(&text).map_err(|_| no_key(&"no private key in PEM in it"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|error| no_key(&format!("of no use with {}: {error}", cert.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// No certificate: this binary was built without TLS.
#[cfg(not(feature = "tls"))]
#[derive(Clone)]
pub enum Tls {}

#[cfg(not(feature = "tls"))]
impl Tls {
    /// Refuses.
    pub fn load(_: &Path, _: &Path) -> Result<Self, String> {
        Err("--tls-cert: this binary was built without TLS".to_owned())
    }

    /// There is nothing to read.
    pub fn reload(&self, _: &Path, _: &Path) -> Result<(), String> {
        match *self {}
    }

    async fn shake_hands(&self, _: TcpStream) -> io::Result<Opened> {
        match *self {}
    }
}

/// Does the same on either kind; both can be moved while pinned.
macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Opened::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Opened::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Opened {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, from))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, from))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
