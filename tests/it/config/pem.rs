//! Certificates and keys for the cases, good and bad, made anew for each run: there is no private key among the sources,
//! and nothing expires.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, date_time_ymd,
};

/// Somebody who signs certificates.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for `key`, of which `change` may change anything.
    fn sign(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = named("localhost");
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().pem()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// PEM of anything.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes them into `directory`.
pub(super) fn write(directory: &Path) {
    let put = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        let mode = if name.ends_with(".key") && name != "readable.key" { 0o600 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    let key = KeyPair::generate().unwrap();
    let (ca, unrelated) = (authority.certificate.pem(), stranger.certificate.pem());
    let server = authority.sign(&key, |_| {});

    put("ca.pem", ca.as_bytes());
    put("cas.pem", format!("# two of them\n{ca}\n{unrelated}").as_bytes());
    put("server.pem", server.as_bytes());
    put("server.key", key.serialize_pem().as_bytes());
    put("readable.key", key.serialize_pem().as_bytes());
    put("combined.key", format!("{}{server}{ca}", key.serialize_pem()).as_bytes());
    put("chain.pem", format!("{server}{ca}").as_bytes());
    put("reversed.pem", format!("{ca}{server}").as_bytes());
    put("unrelated.pem", format!("{server}{unrelated}").as_bytes());
    put("expired.pem", authority.sign(&key, |it| it.not_after = date_time_ymd(2020, 1, 2)).as_bytes());
    put("future.pem", authority.sign(&key, |it| it.not_before = date_time_ymd(3000, 1, 2)).as_bytes());
    put(
        "client.pem",
        authority.sign(&key, |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]).as_bytes(),
    );
    put("other.key", KeyPair::generate().unwrap().serialize_pem().as_bytes());
    write_encodings(&authority, &key, put);
    write_damaged(&key, &server, put);
}

/// What is inside PKCS #8 is the older encoding of the same key.
fn write_encodings(authority: &Authority, key: &KeyPair, put: impl Fn(&str, &[u8])) {
    let pkcs8 = key.serialize_der();
    let version_and_octets = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = pkcs8.windows(5).position(|window| window == version_and_octets).unwrap() - 2;
    put("sec1.key", format!("{}{}", pem("EC PARAMETERS", &[5, 0]), pem("EC PRIVATE KEY", &pkcs8[at..])).as_bytes());

    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    put("rsa.pem", authority.sign(&rsa, |_| {}).as_bytes());
    let version_and_modulus = [0x02, 0x01, 0x00, 0x02, 0x82, 0x01, 0x01];
    let pkcs8 = rsa.serialize_der();
    let at = pkcs8.windows(7).position(|window| window == version_and_modulus).unwrap() - 4;
    put("pkcs1.key", pem("RSA PRIVATE KEY", &pkcs8[at..]).as_bytes());
}

fn write_damaged(key: &KeyPair, server: &str, put: impl Fn(&str, &[u8])) {
    let private = key.serialize_pem();
    put("encrypted.key", pem("ENCRYPTED PRIVATE KEY", &key.serialize_der()).as_bytes());
    let legacy = pem("RSA PRIVATE KEY", &key.serialize_der());
    let (begin, rest) = legacy.split_once('\n').unwrap();
    put(
        "legacy-encrypted.key",
        format!("{begin}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n{rest}").as_bytes(),
    );
    put("two.key", format!("{private}{}", KeyPair::generate().unwrap().serialize_pem()).as_bytes());
    put("damaged.key", pem("PRIVATE KEY", &key.serialize_der()[..40]).as_bytes());
    put("garbage.key", private.replacen("\nM", "\n!M", 1).as_bytes());
    put("public.pem", key.public_key_pem().as_bytes());
    put("request.pem", named("localhost").serialize_request(key).unwrap().pem().unwrap().as_bytes());
    put("damaged.pem", format!("{server}{}", pem("CERTIFICATE", b"not a certificate")).as_bytes());
    put("garbage.pem", format!("{server}{}", server.replacen("\nM", "\n!M", 1)).as_bytes());
    put("cut.pem", server.rsplit_once("-----END").unwrap().0.as_bytes());
    put("dashes.pem", server.replacen("-----\n", "---\n", 1).as_bytes());
    put("der.pem", &STANDARD.decode(server.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap());
    put("empty.pem", b"");
}
