"""Gets tokens from an authority with the library Authlib, by each way to authenticate, and prints what came of it.

    oauth_client.py ISSUER CLIENT_ID SECRET KEY_FILE SCOPE

Each token is verified by the library joserfc with the published keys, introspected, revoked and introspected again. The only
line has for each method the `claims` of the token, and whether introspection said that it was active `before` and `after`.
"""

import os
import sys

# Plain HTTP, on the loopback.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

import peer


def document(http, issuer, name):
    answer = http.get(f"{issuer}/.well-known/{name}", timeout=10)
    answer.raise_for_status()
    return answer.json()


def session(metadata, client_id, method, secret, key):
    methods = {"token_endpoint_auth_method": method, "revocation_endpoint_auth_method": method}
    if method != "private_key_jwt":
        made = OAuth2Session(client_id, secret, **methods)
    else:
        made = OAuth2Session(client_id, key, **methods)
        made.register_client_auth_method(PrivateKeyJWT(metadata["token_endpoint"], alg="ES256"))
    made.trust_env = False
    return made


def converse(client, metadata, keys, scope):
    token = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", scope=scope)["access_token"]
    claims = jwt.decode(token, keys, algorithms=["RS256", "ES256", "Ed25519", "EdDSA"]).claims

    def is_active():
        return client.introspect_token(metadata["introspection_endpoint"], token=token).json()["active"]

    before = is_active()
    client.revoke_token(metadata["revocation_endpoint"], token=token).raise_for_status()
    return {"claims": claims, "before": before, "after": is_active()}


def main():
    peer.end_with_parent()
    issuer, client_id, secret, key_file, scope = sys.argv[1:]
    with open(key_file, encoding="ascii") as file:
        key = ECKey.import_key(file.read())
    http = requests.Session()
    http.trust_env = False
    metadata = document(http, issuer, "openid-configuration")
    assert metadata == metadata | document(http, issuer, "oauth-authorization-server"), metadata
    keys = KeySet.import_key_set(http.get(metadata["jwks_uri"], timeout=10).json())
    peer.say(**{
        method: converse(session(metadata, client_id, method, secret, key), metadata, keys, scope)
        for method in metadata["token_endpoint_auth_methods_supported"]
    })


if __name__ == "__main__":
    main()
