import { join } from 'node:path'
import { luaGateway, nginxGateway } from './nginx.ts'
import type { Launch } from './process.ts'
import { currentMajor } from './tools.ts'
import { put, type Workspace } from './workspace.ts'

/** Where ours counts a limit; the others count in Redis, come what may. */
const scopes = { session: 'exact', 'session-leased': 'leased', 'session-local': 'local' } as const

/** What a gateway is asked to do before it passes a request on. */
export type Gate = 'none' | 'token' | keyof typeof scopes

export const hasSession = (gate: Gate): gate is keyof typeof scopes => gate in scopes

/** What a candidate needs to know of a scenario. */
export interface Setting {
  readonly workspace: Workspace
  readonly gate: Gate
  /** 0: one route for everything. */
  readonly routes: number
}

export interface Candidate {
  readonly name: string
  /** The program, or `peers` for what npm brings, that has to be there. */
  readonly needs: 'nginx' | 'lua' | 'haproxy' | 'caddy' | 'peers' | 'current' | 'nothing'
  readonly gates: readonly Gate[]
  launch(setting: Setting): Launch
}

const gated: readonly Gate[] = ['token', 'session', 'session-leased', 'session-local']
const all: readonly Gate[] = ['none', ...gated]

/** Everything that is compared; ratios are to the first and to the naive one. `current` is the path of a newer Node.js, for a column of ours on it. */
export const candidates = (root: string, peers: string, current = ''): readonly Candidate[] => [
  {
    name: 'nginx',
    needs: 'nginx',
    // With gates it is the yardstick all the same: what passing on alone costs.
    gates: all,
    launch: ({ workspace, routes }) => nginxGateway(workspace, routes)
  },
  {
    name: 'nginx+lua',
    needs: 'lua',
    gates: gated,
    launch: ({ workspace, gate }) => luaGateway(workspace, hasSession(gate) ? 'session' : 'token')
  },
  { name: 'HAProxy', needs: 'haproxy', gates: ['none'], launch: haproxy },
  { name: 'Caddy', needs: 'caddy', gates: ['none'], launch: caddy },
  { name: 'naive Fastify', needs: 'nothing', gates: all, launch: node(join(root, 'bench/peers/naive.mjs')) },
  { name: 'bare Node', needs: 'nothing', gates: all, launch: node(join(root, 'bench/peers/bare.mjs')) },
  { name: 'fast-gateway', needs: 'peers', gates: ['none'], launch: node(join(peers, 'fast-gateway.mjs')) },
  { name: 'http-proxy-3', needs: 'peers', gates: ['none'], launch: node(join(peers, 'http-proxy-3.mjs')) },
  { name: 'Tollkeeper', needs: 'nothing', gates: all, launch: (setting) => tollkeeper(root, setting) },
  {
    name: `Tollkeeper, Node ${currentMajor}`,
    needs: 'current',
    gates: all,
    launch: (setting) => ({ ...tollkeeper(root, setting), command: current })
  }
]

const node =
  (file: string) =>
  ({ workspace: { ports, secret }, gate, routes }: Setting): Launch => {
    const options = {
      port: ports.gateway,
      upstream: `http://127.0.0.1:${ports.upstream}`,
      redis: ports.redis
    }
    return {
      command: process.execPath,
      args: [file, JSON.stringify({ ...options, secret, gate: hasSession(gate) ? 'session' : gate, routes })]
    }
  }

/** Ours, with everything on that is on when nobody says anything: ids, metrics, access log, timeouts. */
function tollkeeper(root: string, { workspace, gate, routes }: Setting): Launch {
  const { ports, secret, kid } = workspace
  const paths = routes === 0 ? ['/*'] : Array.from({ length: routes }, (_, index) => `/service-${index}/*`)
  const auth =
    gate === 'none' ? 'none' : { mode: 'required', session: gate === 'token' ? 'stateless' : 'revocable' }
  const limit = hasSession(gate) && {
    // One that nobody reaches, with a burst that takes ten seconds to come back.
    limit: { qps: 1000, slack: 10_000, by: 'subject', scope: scopes[gate] }
  }
  const config = {
    listen: { public: `127.0.0.1:${ports.gateway}`, admin: `127.0.0.1:${ports.admin}` },
    ...(hasSession(gate) && { store: { driver: 'redis', url: `redis://127.0.0.1:${ports.redis}` } }),
    services: { bench: { nodes: [`http://127.0.0.1:${ports.upstream}`] } },
    routes: paths.map((path, index) => ({
      id: `route-${index}`,
      path,
      service: 'bench',
      auth,
      ...limit
    })),
    ...(gate !== 'none' && {
      auth: { issuer: 'bench', audience: 'api', access: '6h', idle: '6h', keys: { path: 'keys.json' } }
    })
  }
  if (gate !== 'none') put(workspace, 'tollkeeper/keys.json', keyFile(secret, kid))
  const path = put(workspace, 'tollkeeper/gateway.config.json', JSON.stringify(config))
  return { command: process.execPath, args: [join(root, 'build/bin/toll.js'), 'start', '--config', path] }
}

/** The secret as the one signing key, beside two that only the gateway itself uses. */
function keyFile(secret: string, kid: string): string {
  // The peers take the text as it is for the key; a JWK holds it in base64url.
  const k = Buffer.from(secret).toString('base64url')
  const base = { kty: 'oct', k, alg: 'HS256', signFrom: 0 }
  const uses = [
    ['sig', kid],
    ['refresh', 'bench-refresh'],
    ['user-hash', 'bench-users']
  ] as const
  return JSON.stringify({ keys: uses.map(([use, name]) => ({ ...base, use, kid: name })) })
}

function haproxy({ workspace, routes }: Setting): Launch {
  const { gateway, upstream } = workspace.ports
  const names = Array.from({ length: routes }, (_, index) => `/service-${index}/ service\n`)
  const map = put(workspace, 'haproxy.map', names.join(''))
  const use = routes === 0 ? 'default_backend service' : `use_backend %[path,map_beg(${map})]`
  const config = `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend public
  bind 127.0.0.1:${gateway}
  option forwardfor
  ${use}
backend service
  server one 127.0.0.1:${upstream} pool-max-conn 512
`
  return { command: 'haproxy', args: ['-db', '-f', put(workspace, 'haproxy.cfg', config)] }
}

function caddy({ workspace, routes }: Setting): Launch {
  const { gateway, upstream } = workspace.ports
  const pass = `reverse_proxy 127.0.0.1:${upstream} {
    transport http {
      keepalive_idle_conns_per_host 512
    }
  }`
  const names = Array.from({ length: routes }, (_, index) => `handle /service-${index}/* {\n${pass}\n}`)
  const config = `{
  admin off
  auto_https off
}
http://127.0.0.1:${gateway} {
  bind 127.0.0.1
  ${routes === 0 ? pass : names.join('\n')}
}
`
  const args = ['run', '--adapter', 'caddyfile', '--config', put(workspace, 'Caddyfile', config)]
  return { command: 'caddy', args, env: { HOME: workspace.directory, GOMAXPROCS: '1' } }
}
