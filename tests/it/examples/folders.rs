//! The systems in `examples/` do what their READMEs show.

use super::readme::follow;

#[test]
fn partner_api() {
    follow("partner-api");
}

#[test]
fn wallet() {
    follow("wallet");
}

#[test]
fn idp_api() {
    follow("idp-api");
}

#[test]
fn openid_provider() {
    follow("openid-provider");
}
