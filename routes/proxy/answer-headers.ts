import { flat } from '../../services/flat.ts'
import { isOwnCookie } from '../../services/identity/cookies/names.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { CompiledRoute } from '../table/route.ts'
import { rewriteLocation } from './location.ts'
import { namedByConnection } from './request-headers.ts'

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade'
])

const forbiddenTrailers = new Set([
  'content-length',
  'host',
  'location',
  'set-cookie',
  'trailer',
  'www-authenticate'
])

/** Gateway headers that stand beside the service's own instead of replacing them. */
const additive = new Set(['set-cookie', 'vary'])

/** What a Connection header says mostly, which names no other header. */
const nameless = new Set(['keep-alive', 'close', 'Keep-Alive', 'Close'])

/** What some caches obey instead of Cache-Control (RFC 9213 and what was before it). */
const cacheOrders = /(?:^|-)cdn-cache-control$|^(?:surrogate-control|edge-control|x-accel-expires)$/

/** Header values as Fastify keeps them. */
export type OwnHeaders = Readonly<Record<string, string | number | string[] | undefined>>

export interface Place {
  readonly route: CompiledRoute
  readonly node: UpstreamNode
  /** Scheme and authority by which the client came. */
  readonly origin: string
  /** Whether a body without a length goes out in chunks, and so can have trailers. */
  readonly isChunked: boolean
  /** Whether the gateway sets cookies of its own, which no service may plant. */
  readonly hidesCookies: boolean
  /** Whether the gateway says who may read the answer, so that the service does not. */
  readonly ownsCors: boolean
}

/** What becomes of a service's header on its way to the client, settled by its name alone. */
type AnswerClass =
  | 'pass'
  | 'drop'
  | 'connection'
  | 'length'
  | 'date'
  | 'trailer'
  | 'cookie'
  | 'location'
  | 'cache'
  | 'cors'

interface Named {
  /** In lower case. */
  readonly key: string
  readonly kind: AnswerClass
  /** What a line of a head begins with, behind the end of the line before it. */
  readonly start: string
  /** Whether the gateway's own may be a line of a head like any other. */
  readonly isPlain: boolean
}

const named = (name: string): Named => {
  const key = name.toLowerCase()
  const kind = kindOf(key)
  const isPlain = token.test(name) && kind !== 'connection' && kind !== 'drop' && kind !== 'trailer'
  return { key, kind, start: flat(`\r\n${name}: `), isPlain }
}

function kindOf(key: string): AnswerClass {
  if (key === 'connection') return 'connection'
  if (hopByHop.has(key)) return 'drop'
  if (key === 'content-length') return 'length'
  if (key === 'date') return 'date'
  if (key === 'trailer') return 'trailer'
  if (key === 'set-cookie') return 'cookie'
  if (key === 'location' || key === 'content-location') return 'location'
  if (key.startsWith('access-control-')) return 'cors'
  return cacheOrders.test(key) ? 'cache' : 'pass'
}

/** What may stand in a field's name, and in its value (RFC 9110 5). */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const content = /^[\t\x20-\x7e\x80-\xff]*$/

const maxRemembered = 1000

/** Sorts the headers of answers. Services use few names, so this is a look-up nearly always. */
export class AnswerHeaders {
  readonly #remembered = new Map<string, Named>()

  /** What the client gets: the service's headers without the hop-by-hop ones, names and duplicates as sent, then the gateway's. */
  write(status: number, headers: readonly string[], own: OwnHeaders, place: Place): string[] {
    const kept: string[] = []
    let gone: ReadonlySet<string> | undefined
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index]!
      const { key, kind } = this.#remembered.get(name) ?? this.#remember(name)
      if (kind === 'pass' && own[key] === undefined) kept.push(name, headers[index + 1]!)
      else if (kind === 'connection') gone = connectionNames(headers)
      else if (kind !== 'drop') this.#special(status, headers, index, own, place, kept)
    }
    if (gone !== undefined) drop(kept, gone)
    pushOwn(kept, own)
    return kept
  }

  /**
   * The same as lines of a head, each with a line's end in front, for an answer that came with its length. Undefined where anything is not
   * as it usually is: then it is for `write`, and for Node, which looks at every field once more for what it says of connection, body
   * and date, and whether its characters may be there. What a service sent was read as strictly as that.
   */
  lines(headers: readonly string[], own: OwnHeaders): string | undefined {
    let text = ''
    let hasDate = false
    let hasLength = false
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index]!
      const value = headers[index + 1]!
      const { key, kind, start } = this.#remembered.get(name) ?? this.#remember(name)
      if (kind === 'drop' || (kind === 'connection' && nameless.has(value))) continue
      if (kind === 'date') hasDate = true
      else if (kind === 'length') hasLength = true
      else if (kind !== 'pass') return undefined
      if (own[key] === undefined) text += start + value
      else if (kind !== 'pass' || additive.has(key)) return undefined
    }
    if (!hasDate || !hasLength) return undefined
    for (const name in own) {
      const value = own[name]
      if (value === undefined) continue
      const known = this.#remembered.get(name) ?? this.#remember(name)
      if (!known.isPlain || typeof value !== 'string' || !content.test(value)) return undefined
      text += known.start + value
    }
    return text
  }

  #special(
    status: number,
    headers: readonly string[],
    index: number,
    own: OwnHeaders,
    place: Place,
    kept: string[]
  ): void {
    const name = headers[index]!
    const value = headers[index + 1]!
    const { key, kind } = this.#remembered.get(name) ?? this.#remember(name)
    // With a session's cookies in it an answer is for one browser, whatever the service thinks of it.
    if (kind === 'cache' && own['cache-control'] === 'no-store') return
    if (kind === 'cors' && place.ownsCors) return
    if (kind === 'trailer' && !hasTrailers(status, headers, place)) return
    if (own[key] !== undefined && !additive.has(key)) return
    if (kind === 'cookie' && place.hidesCookies && isOwnCookie(value)) return
    // RFC 9110 8.6: no length where there can be no body.
    if (kind === 'length' && status === 204) return
    kept.push(name, kind === 'location' ? rewriteLocation(value, place) : value)
  }

  #remember(name: string): Named {
    const known = named(name)
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
    this.#remembered.set(name, known)
    return known
  }
}

/** Takes out what a Connection header names. */
function drop(kept: string[], named: ReadonlySet<string>): void {
  let to = 0
  for (let from = 0; from < kept.length; from += 2) {
    if (named.has(kept[from]!.toLowerCase())) continue
    kept[to] = kept[from]!
    kept[to + 1] = kept[from + 1]!
    to += 2
  }
  kept.length = to
}

const hasTrailers = (status: number, headers: readonly string[], { isChunked }: Place): boolean =>
  isChunked &&
  status !== 204 &&
  status !== 304 &&
  !headers.some((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length')

/** Whether an answer is a stream of events: one without an end of its own, and without a length that a clean end would fall short of. */
export function isEndless(headers: readonly string[]): boolean {
  let isStream = false
  for (let index = 0; index < headers.length; index += 2) {
    const key = headers[index]!.toLowerCase()
    if (key === 'content-length') return false
    if (key === 'content-type') isStream = /^text\/event-stream(?:$|[;\s])/i.test(headers[index + 1]!)
  }
  return isStream
}

/** Trailers as Node wants them, without those that would change how the message is read (RFC 9110 6.5.1). */
export function harmlessTrailers(flat: readonly string[]): [string, string][] {
  const trailers: [string, string][] = []
  for (let index = 0; index < flat.length; index += 2) {
    const key = flat[index]!.toLowerCase()
    if (!hopByHop.has(key) && !forbiddenTrailers.has(key)) trailers.push([flat[index]!, flat[index + 1]!])
  }
  return trailers
}

/** The head of a 101: as the service wrote it, hop-by-hop headers included, with what the gateway has to say. */
export function switchHeaders(headers: readonly string[], own: OwnHeaders, hidesCookies: boolean): string[] {
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const key = headers[index]!.toLowerCase()
    if (own[key] !== undefined && !additive.has(key)) continue
    if (key === 'set-cookie' && hidesCookies && isOwnCookie(headers[index + 1]!)) continue
    kept.push(headers[index]!, headers[index + 1]!)
  }
  pushOwn(kept, own)
  return kept
}

function pushOwn(kept: string[], own: OwnHeaders): void {
  for (const key in own) {
    const value = own[key]
    if (value === undefined || hopByHop.has(key)) continue
    for (const item of Array.isArray(value) ? value : [value]) kept.push(key, String(item))
  }
}

function connectionNames(headers: readonly string[]): ReadonlySet<string> | undefined {
  let connection: string | undefined
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]!.length !== 10 || headers[index]!.toLowerCase() !== 'connection') continue
    connection = connection === undefined ? headers[index + 1]! : `${connection},${headers[index + 1]}`
  }
  return namedByConnection(connection)
}
