/** What becomes of a client's header on its way to a service. */
export type HeaderClass =
  | 'forward'
  /** Hop-by-hop, or written by the gateway itself. */
  | 'drop'
  | 'connection'
  | 'te'
  | 'authorization'
  /** Says who asked or where it came in: believed from a trusted proxy only. */
  | 'forwarded'
  | 'tracestate'
  | 'cookie'
  /** Would go round what routes say about methods. */
  | 'method'

/** RFC 9110 7.6.1, framing, and what the gateway writes itself. */
const dropped = [
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  // CGI makes HTTP_PROXY of it, and HTTP clients behind believe that (CVE-2016-5385).
  'proxy',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'traceparent',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
  // Holds an admin token.
  'x-toll-debug'
]

/** Headers by which servers let somebody in front overrule the address, the host or the path. */
const overruling = [
  'cf-connecting-ip',
  'client-ip',
  'fastly-client-ip',
  'forwarded',
  'forwarded-for',
  'front-end-https',
  'true-client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-envoy-external-address',
  'x-envoy-original-path',
  'x-forwarded',
  'x-host',
  'x-http-host-override',
  'x-original-forwarded-for',
  'x-original-host',
  'x-original-uri',
  'x-original-url',
  'x-originating-ip',
  'x-real-ip',
  'x-remote-addr',
  'x-remote-ip',
  'x-rewrite-url'
]

/**
 * Headers by which other gateways, authenticating proxies and web servers tell a service who is asking. A service that used to stand
 * behind one of them may believe them still; no client may say them, and this gateway does not.
 */
const identities = [
  'cf-access-authenticated-user-email',
  'cf-access-jwt-assertion',
  'remote-email',
  'remote-groups',
  'remote-name',
  'remote-user',
  'x-anonymous-consumer',
  'x-apigateway-api-userinfo',
  'x-auth-email',
  'x-auth-token-payload',
  'x-auth-user',
  'x-client-cert',
  'x-client-verify',
  'x-endpoint-api-userinfo',
  'x-gateway-assertion',
  'x-logged-in-user',
  'x-remote-user',
  'x-scopes',
  'x-session-id',
  'x-user',
  'x-user-email',
  'x-user-groups',
  'x-user-id',
  'x-user-name',
  'x-user-roles',
  'x-userinfo',
  'x-username'
]

/** The same where it is a family of headers. */
const identityFamilies = [
  'oidc-claim-',
  'ssl-client-',
  'tailscale-user-',
  'x-amzn-oidc-',
  'x-auth-request-',
  'x-authenticated-',
  'x-authentik-',
  'x-consumer-',
  'x-credential-',
  'x-goog-authenticated-user-',
  'x-goog-iap-',
  'x-jwt-',
  'x-ms-client-principal',
  'x-pomerium-',
  'x-remote-user-',
  'x-ssl-client-',
  'x-vouch-',
  'x-webauth-'
]

/** Headers by which servers let a client change the method after all. */
const methodOverrides = ['x-http-method', 'x-http-method-override', 'x-method-override']

const maxRemembered = 1000

/**
 * Sorts header names. Names are compared as CGI-like servers see them, `_` and `.` like `-`, so that `X_User_Id` cannot pass for the
 * identity header that the gateway sets.
 */
export class HeaderClasses {
  readonly #known: ReadonlyMap<string, HeaderClass>
  /** By the name as sent; clients choose from few, so this is a table look-up nearly always. */
  readonly #remembered = new Map<string, HeaderClass>()

  /** What routes look for among the headers; another spelling of it would go round them. */
  readonly #conditions: ReadonlySet<string>
  readonly #canonicalConditions: ReadonlySet<string>

  constructor(own: readonly string[], conditions: readonly string[] = [], hidesCookies = false) {
    this.#conditions = new Set(conditions)
    this.#canonicalConditions = new Set(conditions.map(canonical))
    this.#known = new Map<string, HeaderClass>([
      ...dropped.map((name) => [name, 'drop'] as const),
      ...identities.map((name) => [name, 'drop'] as const),
      ...overruling.map((name) => [name, 'forwarded'] as const),
      ['connection', 'connection'],
      ['te', 'te'],
      ['authorization', 'authorization'],
      ['tracestate', 'tracestate'],
      ...(hidesCookies ? [['cookie', 'cookie'] as const] : []),
      ...methodOverrides.map((name) => [name, 'method'] as const),
      ...own.map((name) => [canonical(name), 'drop'] as const)
    ])
  }

  of(name: string): HeaderClass {
    const remembered = this.#remembered.get(name)
    if (remembered !== undefined) return remembered
    const key = canonical(name)
    const found = this.#known.get(key) ?? this.#other(name, key)
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
    this.#remembered.set(name, found)
    return found
  }

  #other(name: string, key: string): HeaderClass {
    if (key.startsWith('x-forwarded-')) return 'forwarded'
    if (identityFamilies.some((family) => key.startsWith(family))) return 'drop'
    return this.#canonicalConditions.has(key) && !this.#conditions.has(name.toLowerCase())
      ? 'drop'
      : 'forward'
  }
}

const canonical = (name: string): string => name.toLowerCase().replace(/[_.]/g, '-')
