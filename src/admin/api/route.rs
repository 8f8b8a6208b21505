//! Which request asks for what.

use http::Method;

use super::problem::Problem;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// The description of the API.
    Document,
    List,
    Create,
    Show,
    Edit,
    Delete,
    Renew,
    RotateSecret,
    Revoke,
    Restore,
    /// Of a client of another issuer.
    RevokeForeign,
    /// Likewise.
    RestoreForeign,
    Audit,
}

/// What a token has to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// `sidegate.clients:read`, or the other one.
    Read,
    /// `sidegate.clients:write`.
    Write,
}

/// A request that asks for something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) operation: Operation,
    pub(super) access: Access,
    /// What stands in the places of the path that are in braces, decoded.
    pub(super) arguments: Vec<String>,
}

/// Method, path, and what they ask for.
pub(super) const ROUTES: &[(Method, &str, Operation)] = &[
    (Method::GET, "/api/openapi.json", Operation::Document),
    (Method::GET, "/api/v1/clients", Operation::List),
    (Method::POST, "/api/v1/clients", Operation::Create),
    (Method::GET, "/api/v1/clients/{id}", Operation::Show),
    (Method::PATCH, "/api/v1/clients/{id}", Operation::Edit),
    (Method::DELETE, "/api/v1/clients/{id}", Operation::Delete),
    (Method::POST, "/api/v1/clients/{id}/renew", Operation::Renew),
    (Method::POST, "/api/v1/clients/{id}/rotate-secret", Operation::RotateSecret),
    (Method::POST, "/api/v1/clients/{id}/revoke", Operation::Revoke),
    (Method::POST, "/api/v1/clients/{id}/restore", Operation::Restore),
    (Method::POST, "/api/v1/issuers/{name}/clients/{id}/revoke", Operation::RevokeForeign),
    (Method::POST, "/api/v1/issuers/{name}/clients/{id}/restore", Operation::RestoreForeign),
    (Method::GET, "/api/v1/audit", Operation::Audit),
];

/// What a request asks for. `HEAD` asks for what `GET` does.
pub(super) fn find(method: &Method, path: &str) -> Result<Match, Problem> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut allow = Vec::new();
    for (known, template, operation) in ROUTES {
        let Some(segments) = arguments(template, path) else { continue };
        if known != method {
            allow.push(known);
            continue;
        }
        let decoded: Option<Vec<String>> = segments.into_iter().map(decoded).collect();
        let arguments = decoded.ok_or_else(|| Problem::malformed("the path has a percent escape that is none"))?;
        let access = if method == Method::GET { Access::Read } else { Access::Write };
        return Ok(Match { operation: *operation, access, arguments });
    }
    Err(if allow.is_empty() { Problem::unknown("nothing is at this path") } else { Problem::method(&allow) })
}

/// What stands in the places in braces, if the path is of this form.
fn arguments<'p>(template: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let (mut wanted, mut given, mut arguments) = (template.split('/'), path.split('/'), Vec::new());
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(arguments),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => arguments.push(given),
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

/// A segment of a path without its percent escapes (RFC 3986 section 2.1). It is no path any more: a slash in it is part of
/// a name.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> Option<(Operation, Vec<String>)> {
        find(&method.parse().unwrap(), path).ok().map(|found| (found.operation, found.arguments))
    }

    #[test]
    fn paths_are_told_apart() {
        let one = |argument: &str| vec![argument.to_owned()];
        assert_eq!(found("GET", "/api/v1/clients"), Some((Operation::List, vec![])));
        assert_eq!(found("HEAD", "/api/v1/clients/a"), Some((Operation::Show, one("a"))));
        assert_eq!(found("GET", "/api/v1/clients/renew"), Some((Operation::Show, one("renew"))));
        assert_eq!(found("POST", "/api/v1/clients/a%40b/renew"), Some((Operation::Renew, one("a@b"))));
        let foreign = (Operation::RevokeForeign, vec!["partner".to_owned(), "a/b é".to_owned()]);
        assert_eq!(found("POST", "/api/v1/issuers/partner/clients/a%2fb%20%C3%A9/revoke"), Some(foreign));
        for odd in ["/api/v1", "/api/v1/clients/", "/api/v1/clients//renew", "/api/v1/clients/a/", "/api/v1/Clients"] {
            assert_eq!(found("GET", odd), None, "{odd}");
        }
        for odd in ["%", "%4", "%zz", "%+1", "%FF"] {
            assert_eq!(found("GET", &format!("/api/v1/clients/{odd}")), None, "{odd}");
        }
    }

    #[test]
    fn reading_is_what_get_does() {
        for (method, path, _) in ROUTES {
            let access = find(method, path).unwrap().access;
            assert_eq!(access == Access::Read, method == Method::GET, "{method} {path}");
        }
    }
}
