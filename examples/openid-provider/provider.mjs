// An OpenID provider as many run one (npm oidc-provider), with one client of each kind and one user. It is for trying out:
// secrets stand in the text, keys are new with each start, and whoever says to be alice is.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import Provider, { errors } from 'oidc-provider'

const issuer = new URL('http://127.0.0.1:3000')
const api = 'https://api.example'
const user = 'alice'
const everything = 'view:users create:users'

const login = { grant_types: ['authorization_code'], response_types: ['code'] }
const noLogin = { redirect_uris: [], response_types: [] }
const clients = [
  // A web application with a server, which keeps a secret.
  { client_id: 'portal', client_secret: 'portal-secret', redirect_uris: ['http://127.0.0.1:4000/callback'], ...login },
  // One that is only a page in a browser, which cannot keep any, and may only view.
  {
    client_id: 'app',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1:4000/callback'],
    scope: 'openid view:users',
    ...login,
  },
  // A machine, which calls for itself.
  { client_id: 'nightly', client_secret: 'nightly-secret', grant_types: ['client_credentials'], ...noLogin },
  // Something old, which is given people's passwords.
  { client_id: 'legacy', client_secret: 'legacy-secret', grant_types: ['password'], ...noLogin },
]

// Access tokens for the API are JWTs (RFC 9068).
const resourceServer = () => ({ scope: everything, audience: api, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } })

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' })
const provider = new Provider(issuer.origin, {
  clients,
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', ...everything.split(' ')],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  // Whoever has logged in has consented.
  async loadExistingGrant({ oidc }) {
    const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
    grant.addOIDCScope(`openid ${everything}`)
    grant.addResourceScope(api, everything)
    await grant.save()
    return grant
  },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => api,
      useGrantedResource: () => true,
      getResourceServerInfo: resourceServer,
    },
  },
})

// oidc-provider has left this grant behind, as OAuth 2.1 has. Providers that have not give such tokens.
async function password(ctx) {
  const { client, params } = ctx.oidc
  if (params.username !== user) throw new errors.InvalidGrant('unknown user')
  const token = new provider.AccessToken({ accountId: user, client, gty: 'password', scope: params.scope })
  token.resourceServer = new provider.ResourceServer(api, resourceServer())
  ctx.body = { access_token: await token.save(), token_type: 'Bearer', expires_in: token.expiration, scope: params.scope }
}
provider.registerGrantType('password', password, ['username', 'password', 'scope'])

provider.listen(Number(issuer.port), issuer.hostname, () => console.error(`ready: ${issuer.origin}`))
