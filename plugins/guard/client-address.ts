import { BlockList, isIP, type Socket } from 'node:net'
import ipaddr from 'ipaddr.js'

export type Trusts = (address: string) => boolean

/** Throws a RangeError that names the entry when one is not an address or a range. */
export function trustList(entries: readonly string[]): Trusts | undefined {
  if (entries.length === 0) return undefined
  const list = new BlockList()
  for (const entry of entries) {
    const [address, length] = entry.split('/') as [string, string?]
    const family = isIP(address)
    const bits = length === undefined ? (family === 4 ? 32 : 128) : Number(length)
    if (family === 0 || bits > (family === 4 ? 32 : 128)) {
      throw new RangeError(`guard.trustedProxies: "${entry}" is not an address or a CIDR range`)
    }
    list.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

const kPeer = Symbol('peer')

/** The address at the other end of a connection, in the form in which it is compared: for as long as there is the connection it stays the same. */
export function peerOf(socket: Socket & { [kPeer]?: string }): string {
  socket[kPeer] ??= plainAddress(socket.remoteAddress ?? '')
  return socket[kPeer]
}

/** Most texts that are remembered, and the longest: one of few proxies asks for clients who come again. */
const remembered = 1000
const longest = 200

/** The same function, which does not think again about what it was asked lately. */
export function remembering<Result>(call: (text: string) => Result): (text: string) => Result {
  const known = new Map<string, Result>()
  return (text) => {
    let result = known.get(text)
    if (result !== undefined) return result
    result = call(text)
    if (text.length > longest) return result
    if (known.size >= remembered) known.clear()
    known.set(text, result)
    return result
  }
}

/**
 * Reads X-Forwarded-For: the rightmost hop that is not a trusted proxy; a malformed hop ends the walk at the last good one. '' where there
 * is none.
 */
export const clientReader = (trusts: Trusts): ((forwarded: string) => string) =>
  remembering((forwarded) => {
    let client = ''
    for (const said of forwarded.split(',').reverse()) {
      const hop = plainAddress(withoutPort(said.trim()))
      if (isIP(hop) === 0) return client
      client = hop
      if (!trusts(hop)) return client
    }
    return client
  })

/** Some proxies write the port of the connection behind the address. */
const withoutPort = (hop: string): string =>
  /^(?:([0-9.]+):[0-9]{1,5}|\[([^\]]+)\](?::[0-9]{1,5})?)$/.exec(hop)?.slice(1).join('') ?? hop

/** An IPv4 address in IPv6 clothes (::ffff:127.0.0.1) is the IPv4 address. */
export function plainAddress(address: string): string {
  if (!address.includes(':')) return address
  return ipaddr.isValid(address) ? ipaddr.process(address.replace(/%.*$/, '')).toString() : address
}
