//! Every key that a configuration can have. The decoder refuses what is not here, and the reference in the documentation
//! is held against it.

/// The keys of one mapping.
#[derive(Debug)]
pub struct Section {
    /// Path of the mapping: `[]` is an item of a list, `NAME` a name of the operator's choice; empty for the whole file.
    pub path: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
}

impl Section {
    /// The full paths of the keys.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.keys.iter().map(move |key| format!("{}{dot}{key}", self.path))
    }
}

macro_rules! sections {
    ($($name:ident $path:literal: $($key:literal)*;)*) => {
        $(pub(super) static $name: Section = Section { path: $path, keys: &[$($key),*] };)*
        /// All mappings with a fixed set of keys.
        pub static ALL: &[&Section] = &[$(&$name),*];
    };
}

sections! {
    FILE "": "listeners" "admin" "health" "authz" "issuers" "roles" "upstreams" "identity" "routes" "workers" "mode" "resource"
        "cors" "trusted_proxies" "errors" "limits" "telemetry" "state_dir" "authority";
    LISTENER "listeners[]": "address" "tls";
    LISTENER_TLS "listeners[].tls": "certificate" "private_key" "client_ca" "client_certificate";
    ADMIN "admin": "address";
    HEALTH "health": "address";
    AUTHZ "authz": "grpc" "http" "allow_from" "tls";
    ISSUER "issuers[]": "name" "issuer" "audiences" "algorithms" "keys" "clients" "tenants" "fixed_tenant" "token_kinds"
        "token_types" "claims" "scope_prefix" "require_iss" "client_when" "leeway" "max_token_age" "mode" "registry";
    KEYS "issuers[].keys": "jwks_file" "jwks_uri" "refresh" "max_stale";
    CLAIMS "issuers[].claims": "scopes" "roles" "client_id" "tenant";
    CLIENT_WHEN "issuers[].client_when": "claim" "equals";
    REGISTRY "issuers[].registry": "url" "client_id" "client_secret_file";
    ROLE "roles.NAME": "scopes" "includes";
    UPSTREAM "upstreams.NAME": "urls" "connect_timeout" "timeout" "host" "tls" "paths" "health_check" "builtin";
    UPSTREAM_TLS "upstreams.NAME.tls": "ca_file" "certificate" "private_key";
    HEALTH_CHECK "upstreams.NAME.health_check": "path" "interval";
    IDENTITY "identity": "tenant" "headers" "authorization";
    TENANT "identity.tenant": "header" "required" "select";
    ROUTE "routes[]": "match" "host" "scopes" "any_scope" "roles" "authenticated" "public" "token_kinds" "issuers"
        "clients" "tenant" "timeout" "max_body" "mode" "upstream";
    CORS "cors": "origins" "methods" "headers" "max_age";
    ERRORS "errors": "format" "realm";
    LIMITS "limits": "header_bytes" "body_bytes" "token_bytes" "connections" "request_head" "idle" "drain" "drain_delay";
    TELEMETRY "telemetry": "access_log" "log_format";
    AUTHORITY "authority": "issuer" "storage" "max_stale" "storage_password_file" "key_encryption_file" "audience"
        "token_lifetime" "algorithm" "rotate_keys" "client_id_prefix" "listeners" "token_paths" "scope_prefix" "scopes"
        "admin_secret_file";
}
