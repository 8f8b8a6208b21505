//! Certificates and private keys in PEM (RFC 7468). No message repeats anything of a file.

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;

use super::files::Content;
use super::scalar::Flaw;

/// A certificate, and any that lead from it to a root.
pub(super) fn chain(content: &Content) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let chain = certificates(content)?;
    for (index, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate).map_err(|_| not_a_certificate(content, index))?;
    }
    Ok(chain)
}

/// Certificates of those who sign others.
pub(super) fn roots(content: &Content) -> Result<RootCertStore, Flaw> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(content)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|_| not_a_certificate(content, index))?;
    }
    Ok(roots)
}

/// The private key of a file that has one: in PKCS #8, PKCS #1 or SEC 1.
pub(super) fn private_key(content: &Content) -> Result<PrivateKeyDer<'static>, Flaw> {
    if is_encrypted(&content.bytes) {
        let flaw = content.flaw("the private key is encrypted, and there is nobody to ask for its passphrase");
        return Err(flaw.hint("`openssl pkey -in ENCRYPTED -out PLAIN` takes the passphrase off"));
    }
    let sections = sections(content)?;
    let found = kinds(&sections);
    let mut keys = sections.into_iter().filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(content.flaw("more than one private key")),
        (None, _) => Err(absent(content, "private key", &found)),
    }
}

fn certificates(content: &Content) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let sections = sections(content)?;
    let found = kinds(&sections);
    let certificates: Vec<_> =
        sections.into_iter().filter_map(|(kind, der)| CertificateDer::from_pem(kind, der)).collect();
    if certificates.is_empty() { Err(absent(content, "certificate", &found)) } else { Ok(certificates) }
}

type Section = (SectionKind, Vec<u8>);

fn sections(content: &Content) -> Result<Vec<Section>, Flaw> {
    let sections = Section::pem_slice_iter(&content.bytes).enumerate();
    sections.map(|(index, section)| section.map_err(|error| broken(content, index, &error))).collect()
}

fn broken(content: &Content, index: usize, error: &pem::Error) -> Flaw {
    // The parser's own words repeat lines of the file.
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "it has no line -----END …-----",
        pem::Error::IllegalSectionStart { .. } => "its line -----BEGIN …----- does not end in five dashes",
        pem::Error::Base64Decode(_) => "it is not base64",
        _ => "it cannot be read",
    };
    content.flaw(format!("PEM section {} is broken: {what}", index + 1))
}

fn not_a_certificate(content: &Content, index: usize) -> Flaw {
    content.flaw(format!("certificate {} is damaged, or of a kind that is not supported", index + 1))
}

/// Either PKCS #8, or the older way of OpenSSL.
fn is_encrypted(bytes: &[u8]) -> bool {
    let has = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("\nProc-Type: 4,ENCRYPTED")
}

/// What is in a file, in words.
fn kinds(sections: &[Section]) -> Vec<&'static str> {
    let words = sections.iter().map(|(kind, _)| match kind {
        SectionKind::Certificate => "a certificate",
        SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => "a private key",
        SectionKind::PublicKey => "a public key",
        SectionKind::Csr => "a certificate request",
        _ => "something else",
    });
    let mut words: Vec<_> = words.collect();
    words.dedup();
    words
}

fn absent(content: &Content, wanted: &str, found: &[&str]) -> Flaw {
    match (found, content.bytes.first()) {
        ([first, ..], _) => content.flaw(format!("no {wanted} in it, but {first}")),
        // Every certificate and key begins with the tag of a SEQUENCE in DER.
        ([], Some(0x30)) => {
            let flaw = content.flaw(format!("no {wanted} in PEM"));
            flaw.hint("it looks like DER: `openssl x509 -inform der` or `openssl pkey -inform der` makes PEM of it")
        }
        ([], _) => content.flaw(format!("no {wanted} in PEM")),
    }
}
