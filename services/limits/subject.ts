import { createHash } from 'node:crypto'
import ipaddr from 'ipaddr.js'

/**
 * What a client cannot easily have many of: an IPv4 address, or the /64 of an IPv6 address, since whoever has one address of a /64 has
 * them all (RFC 4291 2.5.4).
 */
export function networkOf(address: string): string {
  if (!address.includes(':') || !ipaddr.IPv6.isValid(address)) return address
  return `${new ipaddr.IPv6([...ipaddr.IPv6.parse(address).parts.slice(0, 4), 0, 0, 0, 0])}/64`
}

const plain = /^[A-Za-z0-9._@-]{1,64}$/

/** A part of a key from a value that is not ours: short plain ones stay readable, all others become a hash of fixed length. */
export function keyPart(value: string): string {
  return plain.test(value) ? `=${value}` : `#${createHash('sha256').update(value).digest('base64url')}`
}
