import type { SessionRecord } from './provider.ts'

/** One session in the embedded store: what is told of it, and what only the operations need. */
export interface StoredSession extends SessionRecord {
  readonly generation: number
  readonly rotatedAt: number
  /** The newest generation of which a token was used. Below `generation` nobody is known to have got the newest answer. */
  readonly confirmed: number
  /** The user's stamp (password) when the session began. */
  readonly stamp: string
  /** Its data, as JSON. */
  readonly data?: readonly (readonly [name: string, json: string])[]
}

/** Keys of one user share a hash tag, so that an operation on them stays inside one slot of a Redis Cluster. */
export const sessionKey = (userHash: string, sid: string): string => `toll:{${userHash}}:s:${sid}`
export const sessionPrefix = (userHash: string): string => `toll:{${userHash}}:s:`
export const indexKey = (userHash: string): string => `toll:{${userHash}}:ix`
export const epochKey = (userHash: string): string => `toll:{${userHash}}:ep`
export const onlineSessionsKey = 'toll:{on}:s'
export const onlineUsersKey = 'toll:{on}:u'
export const revocationLog = 'toll:{rev}:log'
export const revocationSet = 'toll:{rev}:set'
export const revocationLasting = 'toll:{rev}:lasting'

/** In front of scripts that need the time: the store's clock, never a gateway's. */
export const clockLua = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function whole(n) return string.format('%.0f', n) end
`

/** Fields of a session in the order `readLua` returns them. */
const fields = ['uid', 'ep', 'cr', 'ls', 'ax', 'ip', 'ua', 'cid', 'amr'] as const

/** Lua: `read(key)` gives the values of `fields` as strings, or false without the session. */
export const readLua = `
local function read(key)
  local s = redis.call('HMGET', key, ${fields.map((field) => `'${field}'`).join(', ')})
  if not s[1] then return false end
  return s
end
`

export const toRow = (session: SessionRecord): (string | number)[] => [
  session.uid,
  session.epoch,
  session.createdAt,
  session.lastSeenAt,
  session.expiresAt,
  session.address,
  session.agent,
  session.client,
  session.methods.join(' ')
]

export function fromRow(sid: string, row: unknown): SessionRecord {
  const [uid, epoch, createdAt, lastSeenAt, expiresAt, address, agent, client, methods] = row as (
    | string
    | number
  )[]
  return {
    sid,
    uid: String(uid),
    epoch: Number(epoch),
    createdAt: Number(createdAt),
    lastSeenAt: Number(lastSeenAt),
    expiresAt: Number(expiresAt),
    address: String(address),
    agent: String(agent),
    client: String(client),
    methods: String(methods).split(' ')
  }
}
