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

/** Gateway headers that stand beside the service's own instead of replacing them. */
const additive = new Set(['set-cookie', 'vary'])

/** Header values as Fastify keeps them. */
export type OwnHeaders = Readonly<Record<string, string | number | string[] | undefined>>

/** What the client gets: the service's headers without the hop-by-hop ones, names and duplicates as sent, then the gateway's. */
export function answerHeaders(
  status: number,
  headers: readonly string[],
  own: OwnHeaders,
  place: { readonly route: CompiledRoute; readonly node: UpstreamNode; readonly origin: string }
): string[] {
  const named = connectionNames(headers)
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!
    const value = headers[index + 1]!
    const key = name.toLowerCase()
    if (hopByHop.has(key) || named?.has(key)) continue
    if (own[key] !== undefined && !additive.has(key)) continue
    if (key === 'location' || key === 'content-location') kept.push(name, rewriteLocation(value, place))
    // RFC 9110 8.6: no length where there can be no body.
    else if (key !== 'content-length' || status !== 204) kept.push(name, value)
  }
  pushOwn(kept, own)
  return kept
}

/** The head of a 101: as the service wrote it, hop-by-hop headers included, with what the gateway has to say. */
export function switchHeaders(headers: readonly string[], own: OwnHeaders): string[] {
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    if (own[headers[index]!.toLowerCase()] === undefined) kept.push(headers[index]!, headers[index + 1]!)
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
