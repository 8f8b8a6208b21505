// Gets tokens from an authority with the library oauth4webapi, by each way to authenticate, and prints what came of it.
//
//     oauth_client.mjs ISSUER CLIENT_ID SECRET KEY_FILE SCOPE AUDIENCE
//
// Each token is verified by the library as RFC 9068 wants it, introspected, revoked and introspected again. The only line has
// for each method the `claims` of the token, and whether introspection said that it was active `before` and `after`.

import { readFile } from 'node:fs/promises'
import { webcrypto } from 'node:crypto'

// Node 18 has it, but not under this name.
globalThis.crypto ??= webcrypto

const oauth = await import(new URL('../../target/tools/node/node_modules/oauth4webapi/build/index.js', import.meta.url))

// Plain HTTP, on the loopback.
const insecure = { [oauth.allowInsecureRequests]: true }

async function discover(issuer, algorithm) {
  const response = await oauth.discoveryRequest(issuer, { algorithm, ...insecure })
  return oauth.processDiscoveryResponse(issuer, response)
}

async function privateKey(file) {
  const pem = await readFile(file, 'ascii')
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
  return crypto.subtle.importKey('pkcs8', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
}

async function converse(server, client, authentication, scope, audience) {
  const parameters = new URLSearchParams({ scope })
  const answer = await oauth.clientCredentialsGrantRequest(server, client, authentication, parameters, insecure)
  const { access_token: token } = await oauth.processClientCredentialsResponse(server, client, answer)
  const request = new Request('http://localhost/', { headers: { authorization: `Bearer ${token}` } })
  const claims = await oauth.validateJwtAccessToken(server, request, audience, insecure)
  const isActive = async () => {
    const answer = await oauth.introspectionRequest(server, client, authentication, token, insecure)
    return (await oauth.processIntrospectionResponse(server, client, answer)).active
  }
  const before = await isActive()
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, token, insecure))
  return { claims, before, after: await isActive() }
}

const [issuer, clientId, secret, keyFile, scope, audience] = process.argv.slice(2)
const client = { client_id: clientId }
const ways = {
  client_secret_basic: oauth.ClientSecretBasic(secret),
  client_secret_post: oauth.ClientSecretPost(secret),
  private_key_jwt: oauth.PrivateKeyJwt(await privateKey(keyFile)),
}
const outcome = {}
for (const [place, method] of Object.keys(ways).entries()) {
  const server = await discover(new URL(issuer), place % 2 ? 'oidc' : 'oauth2')
  outcome[method] = await converse(server, client, ways[method], scope, audience)
}
console.log(JSON.stringify(outcome))
