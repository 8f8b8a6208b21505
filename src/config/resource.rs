//! `resource`: the protected resource metadata (RFC 9728), made once at load.

use std::collections::BTreeSet;

use serde_json::json;

use crate::core::scope::Vocabulary;
use crate::core::snapshot::{Issuer, Requirement, Resource, Route};

use super::decode::Fields;
use super::report::Report;
use super::scalar::Flaw;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Most scopes in the document, which is for discovery and not an inventory.
const SCOPES_MAX: usize = 1000;

/// The identifier, taken apart: scheme and authority, and the path if there is one.
pub(super) struct Identifier<'t> {
    text: &'t str,
    origin: &'t str,
    path: &'t str,
}

pub(super) fn decode<'t>(file: &Fields<'t>, report: &mut Report<'_>) -> Option<Identifier<'t>> {
    report.field(file, "resource", |report, node| {
        let expected = "a URL such as https://api.example.com (RFC 9728 section 1.2)";
        let text = report.text(node, expected)?;
        identifier(text).map_err(|flaw| report.flaw(node, text, flaw, expected)).ok()
    })
}

fn identifier(text: &str) -> Result<Identifier<'_>, Flaw> {
    let flaw = Flaw::new;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| flaw("the URL has no scheme https:// (or http://, for trying out)"))?;
    if let Some(at) = text.find(['?', '#', '"', '\\', ' ']) {
        return Err(flaw("a URL with a query, a fragment, or what belongs in no URL").at(at..text.len()));
    }
    let start = text.len() - rest.len();
    let end = rest.find('/').map_or(text.len(), |slash| start + slash);
    let (origin, path) = text.split_at(end);
    if end == start || origin.contains('@') || text.parse::<http::Uri>().is_err() {
        return Err(flaw("not a URL"));
    }
    Ok(Identifier { text, origin, path: path.strip_suffix('/').unwrap_or(path) })
}

impl Identifier<'_> {
    /// The document, from the issuers and the scopes that routes ask for.
    pub(super) fn compile<'r>(
        &self,
        issuers: &[Issuer],
        routes: impl Iterator<Item = &'r Route>,
        scopes: &Vocabulary,
    ) -> Resource {
        let servers: Vec<&str> = issuers.iter().map(|issuer| &*issuer.iss).filter(|iss| is_url(iss)).collect();
        let prefixes: BTreeSet<&str> = issuers.iter().map(|issuer| &*issuer.scope_prefix).collect();
        let asked: BTreeSet<&str> = routes.flat_map(scopes_of).map(|id| scopes.name(id)).collect();
        let prefixed = prefixes.iter().flat_map(|prefix| asked.iter().map(move |scope| format!("{prefix}{scope}")));
        let document = json!({
            "resource": self.text,
            "authorization_servers": servers,
            "scopes_supported": prefixed.take(SCOPES_MAX).collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
        });
        // The path stands behind the well-known one (RFC 9728 section 3.1); the bare one is served too, for clients
        // that know only the host.
        let own = format!("{WELL_KNOWN}{}", self.path);
        let metadata_url = format!("{}{own}", self.origin).into();
        let bare = (own != WELL_KNOWN).then(|| Box::from(WELL_KNOWN));
        let paths = [own.into_boxed_str()].into_iter().chain(bare).collect();
        Resource { paths, metadata_url, document: document.to_string().into() }
    }
}

fn is_url(iss: &str) -> bool {
    iss.starts_with("https://") || iss.starts_with("http://")
}

fn scopes_of(route: &Route) -> impl Iterator<Item = crate::core::scope::NameId> + '_ {
    let requirement = match &route.requirement {
        Requirement::Token(requirement) => Some(requirement),
        Requirement::Public => None,
    };
    requirement.into_iter().flat_map(|it| it.scopes.iter().chain(&it.any_scope).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_behind_the_well_known_one() {
        let compile = |text| identifier(text).unwrap().compile(&[], std::iter::empty(), &Vocabulary::default());
        let bare = compile("https://api.example.com/");
        assert_eq!(&*bare.metadata_url, "https://api.example.com/.well-known/oauth-protected-resource");
        assert_eq!(bare.paths.len(), 1);
        let deep = compile("https://api.example.com/v1");
        assert_eq!(&*deep.metadata_url, "https://api.example.com/.well-known/oauth-protected-resource/v1");
        assert_eq!(deep.paths.len(), 2);
    }

    #[test]
    fn odd_identifiers_are_refused() {
        for odd in
            ["", "api", "ftp://x", "https://", "https:///x", "https://a?b", "https://a#b", "https://u@a", "https://a b"]
        {
            assert!(identifier(odd).is_err(), "{odd}");
        }
    }
}
