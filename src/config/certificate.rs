//! What can be said of a certificate without a connection: whose key it is for, and whether clients will take it.

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use crate::net::tls::Identity;

/// Which certificate of the chain is the private key's; `None` is none.
///
/// # Errors
/// The key cannot be used.
pub(super) fn position_of_key(identity: &Identity) -> Result<Option<usize>, &'static str> {
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(identity.key.clone_key());
    let key = key.map_err(|_| "the private key is damaged, or of a kind that is not supported")?;
    Ok(identity.chain.iter().position(|certificate| {
        let pair = CertifiedKey::new(vec![certificate.clone()], key.clone());
        // A key that cannot say what its public half is may be the one.
        matches!(pair.keys_match(), Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)))
    }))
}

/// Who shows a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// Why a certificate chain will probably not be taken, now that it is loaded.
pub(super) fn doubt(chain: &[CertificateDer<'_>], role: Role) -> Option<String> {
    let (first, behind) = chain.split_first()?;
    let first = ParsedCertificate::try_from(first).ok()?;
    let mut signer = RootCertStore::empty();
    for certificate in behind.iter().take(1) {
        signer.add(certificate.clone().into_owned()).ok()?;
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let verified = verify_server_cert_signed_by_trust_anchor(&first, &signer, &[], UnixTime::now(), algorithms);
    let Err(Error::InvalidCertificate(error)) = verified else { return None };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("the certificate expired on {}", date(not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("the certificate is not valid before {}", date(not_before)))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } if role == Role::Server => {
            Some("the certificate is not for servers (extended key usage, RFC 5280 section 4.2.1.12)".to_owned())
        }
        // A certificate alone may be signed by a root that clients have.
        CertificateError::UnknownIssuer | CertificateError::BadSignature if !behind.is_empty() => Some(
            "the second certificate in the file has not signed the first: clients may not find the way to a root"
                .to_owned(),
        ),
        _ => None,
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%d").to_string()
}
