import { BlockList, isIP } from 'node:net'
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

/** The rightmost hop of X-Forwarded-For that is not a trusted proxy; a malformed hop ends the walk at the last good one. */
export function clientOf(forwarded: string | string[] | undefined, peer: string, trusts: Trusts): string {
  if (forwarded === undefined) return peer
  const hops = String(forwarded).split(',')
  let client = peer
  for (let index = hops.length - 1; index >= 0; index -= 1) {
    const hop = plainAddress(withoutPort(hops[index]!.trim()))
    if (isIP(hop) === 0) return client
    client = hop
    if (!trusts(hop)) return client
  }
  return client
}

/** Some proxies write the port of the connection behind the address. */
const withoutPort = (hop: string): string =>
  /^(?:([0-9.]+):[0-9]{1,5}|\[([^\]]+)\](?::[0-9]{1,5})?)$/.exec(hop)?.slice(1).join('') ?? hop

/** An IPv4 address in IPv6 clothes (::ffff:127.0.0.1) is the IPv4 address. */
export function plainAddress(address: string): string {
  if (!address.includes(':')) return address
  return ipaddr.isValid(address) ? ipaddr.process(address.replace(/%.*$/, '')).toString() : address
}
