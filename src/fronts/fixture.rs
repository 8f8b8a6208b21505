//! A snapshot for tests, made by hand: one issuer with a scope prefix, no route.

use std::sync::Arc;

use http::HeaderValue;
use serde_json::json;

use crate::core::claims::Principal;
use crate::core::decision::Trace;
use crate::core::route::{Match, Methods, Pattern, RouteTable};
use crate::core::scope::NameList;
use crate::core::snapshot::{
    Audiences, Authorization, ClaimNames, ClaimRef, Cors, ErrorFormat, ErrorStyle, Identity, Issuer, Issuers, Kinds,
    Mode, PathReading, Requirement, Resource, Route, Snapshot, TokenRequirement, TokenTypes, UpstreamId,
    UpstreamPolicy,
};
use crate::core::token::VerifiedToken;

pub(crate) fn snapshot(format: ErrorFormat) -> Snapshot {
    Snapshot {
        number: 1,
        mode: Mode::Enforce,
        routes: Arc::default(),
        issuers: Issuers::new(vec![issuer()]),
        scopes: Arc::default(),
        role_names: Arc::default(),
        roles: Arc::default(),
        identity: Identity { tenant: None, headers: Box::default(), authorization: Authorization::Forward },
        upstreams: Box::default(),
        errors: ErrorStyle { format, realm: "api".into() },
        resource: Some(resource()),
        cors: None,
        trusted_proxies: Box::default(),
        token_bytes_max: 16 * 1024,
        body_bytes_max: None,
    }
}

fn issuer() -> Issuer {
    let claim = |name: &str| Box::from([ClaimRef::Name(name.into())]);
    Issuer {
        name: "partner".into(),
        iss: "https://auth.example.com".into(),
        audiences: Audiences::Any,
        algorithms: Default::default(),
        keys: Arc::default(),
        keys_are_fetched: false,
        clients: None,
        tenants: None,
        fixed_tenant: None,
        token_kinds: Kinds { client: true, user: false },
        token_types: TokenTypes::Default,
        claims: ClaimNames {
            scopes: claim("scope"),
            roles: claim("roles"),
            client_id: claim("client_id"),
            tenant: ClaimRef::Name("tenant_id".into()),
        },
        scope_prefix: "partner/".into(),
        require_iss: true,
        client_when: None,
        leeway_seconds: 30,
        max_token_age_seconds: None,
        mode: Mode::Enforce,
    }
}

fn resource() -> Resource {
    Resource {
        paths: ["/.well-known/oauth-protected-resource".into()].into(),
        metadata_url: "https://api.example.com/.well-known/oauth-protected-resource".into(),
        document: r#"{"resource":"https://api.example.com"}"#.into(),
    }
}

pub(crate) fn cors(origins: Option<&[&str]>) -> Cors {
    Cors {
        origins: origins.map(|list| list.iter().map(|origin| origin.as_bytes().into()).collect()),
        methods: HeaderValue::from_static("GET, POST"),
        headers: HeaderValue::from_static("Authorization, Content-Type"),
        max_age: HeaderValue::from_static("600"),
    }
}

/// A requirement of these scopes and roles, whose names the snapshot gets to know.
pub(crate) fn requirement(snapshot: &mut Snapshot, scopes: &[&str], roles: &[&str]) -> TokenRequirement {
    TokenRequirement {
        scopes: scopes.iter().map(|name| Arc::make_mut(&mut snapshot.scopes).intern(name)).collect(),
        roles: roles.iter().map(|name| Arc::make_mut(&mut snapshot.role_names).intern(name)).collect(),
        ..TokenRequirement::default()
    }
}

/// Gives the snapshot one route, `GET /v1/users`, with this requirement.
pub(crate) fn with_route(snapshot: &mut Snapshot, requirement: Requirement) {
    let matcher = Match {
        label: "GET /v1/users".into(),
        line: 7,
        methods: Methods::parse("GET").unwrap(),
        host: None,
        pattern: Pattern::parse("/v1/users").unwrap(),
    };
    let route =
        Route { requirement, upstream: UpstreamId(0), timeout: None, body_bytes_max: None, mode: Mode::Enforce };
    snapshot.upstreams = [UpstreamPolicy { name: "users".into(), paths: PathReading::Folding }].into();
    snapshot.routes = RouteTable::build(vec![(matcher, route)]).unwrap().into();
}

/// The trace of a valid token that was granted these scopes and roles, whatever they are.
pub(crate) fn authenticated(snapshot: &Snapshot, scopes: &[&str], roles: &[&str]) -> Trace {
    let claims = json!({ "exp": 4_102_444_800_i64, "client_id": "acme" }).to_string();
    let mut principal = Principal::new(snapshot, VerifiedToken::for_tests(&claims)).unwrap();
    principal.scope_names = NameList::new(scopes);
    principal.role_names = NameList::new(roles);
    Trace { principal: Some(Arc::new(principal)), authenticated: true, ..Trace::default() }
}
