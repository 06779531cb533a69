import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** A network as it is written: an address, or an address and the length of its prefix (RFC 4632). */
export interface Network {
  /** The same text for the same network, however it was written: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/64`. */
  readonly text: string
  readonly family: 4 | 6
  readonly bits: number
  /** Numbers of 32 bits, one or four, masked. */
  readonly words: readonly number[]
}

/** Undefined for what is neither an address nor a range. IPv4 in IPv6 clothes (::ffff:192.0.2.7) is IPv4. */
export function parseNetwork(written: string): Network | undefined {
  const [address = '', length, more] = written.trim().split('/')
  if (more !== undefined || isIP(address) === 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) {
    return undefined
  }
  const parsed = ipaddr.process(address)
  const family = parsed.kind() === 'ipv4' ? 4 : 6
  const whole = family === 4 ? 32 : 128
  // The prefix of a mapped address counts from the front of its IPv6 clothes.
  const shift = family === 4 && address.includes(':') ? 96 : 0
  const bits = length === undefined ? whole : Number(length) - shift
  if (bits < 0 || bits > whole) return undefined
  const words = wordsOf(parsed).map((word, index) => mask(word, bits - 32 * index))
  const bytes = words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255])
  const base = ipaddr.fromByteArray(bytes).toString()
  return { text: bits === whole ? base : `${base}/${bits}`, family, bits, words }
}

/**
 * Finds what is said of an address, by the longest prefix. A look-up costs one look into a map for each length of prefix in use, however
 * many networks there are.
 */
export class AddressSet<Value> {
  readonly #four = new Map<number, Map<string, Value>>()
  readonly #six = new Map<number, Map<string, Value>>()
  /** Lengths in use, the longest first. */
  #lengths: { four: readonly number[]; six: readonly number[] } = { four: [], six: [] }
  size = 0

  get isEmpty(): boolean {
    return this.size === 0
  }

  set({ family, bits, words }: Network, value: Value): void {
    const side = family === 4 ? this.#four : this.#six
    let tier = side.get(bits)
    if (tier === undefined) {
      tier = new Map()
      side.set(bits, tier)
      this.#sort()
    }
    const key = keyOf(words, bits)
    if (!tier.has(key)) this.size += 1
    tier.set(key, value)
  }

  delete({ family, bits, words }: Network): boolean {
    const side = family === 4 ? this.#four : this.#six
    const tier = side.get(bits)
    if (tier?.delete(keyOf(words, bits)) !== true) return false
    this.size -= 1
    if (tier.size === 0) {
      side.delete(bits)
      this.#sort()
    }
    return true
  }

  clear(): void {
    this.#four.clear()
    this.#six.clear()
    this.#sort()
    this.size = 0
  }

  /** `address` without zone or prefix; what is no address is in no network. */
  find(address: string): Value | undefined {
    const isSix = address.includes(':')
    const lengths = isSix ? this.#lengths.six : this.#lengths.four
    if (lengths.length === 0) return undefined
    const words = isSix ? six(address) : four(address)
    if (words === undefined) return undefined
    const side = isSix ? this.#six : this.#four
    for (const bits of lengths) {
      const found = side.get(bits)!.get(keyOf(words, bits))
      if (found !== undefined) return found
    }
    return undefined
  }

  #sort(): void {
    const down = (side: Map<number, unknown>) => [...side.keys()].sort((a, b) => b - a)
    this.#lengths = { four: down(this.#four), six: down(this.#six) }
  }
}

/** The set of these networks; what is no network is left out, as the config's check has refused it. */
export function addressSet(written: readonly string[]): AddressSet<true> {
  const set = new AddressSet<true>()
  for (const one of written) {
    const network = parseNetwork(one)
    if (network !== undefined) set.set(network, true)
  }
  return set
}

function keyOf(words: readonly number[], bits: number): string {
  if (words.length === 1) return String(mask(words[0]!, bits))
  let key = ''
  for (let index = 0; index * 32 < bits; index += 1) key += `${mask(words[index]!, bits - 32 * index)}.`
  return key
}

/** The first `bits` of a word, as a number from 0. */
const mask = (word: number, bits: number): number =>
  bits >= 32 ? word : bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0

/** Addresses come from the socket or from `client-address.ts`, well-formed. */
function four(address: string): number[] | undefined {
  let word = 0
  let part = 0
  for (let index = 0; index < address.length; index += 1) {
    const code = address.charCodeAt(index)
    if (code === 46) {
      word = word * 256 + part
      part = 0
    } else if (code >= 48 && code <= 57) part = part * 10 + code - 48
    else return undefined
  }
  return [word * 256 + part]
}

const six = (address: string): number[] | undefined =>
  ipaddr.IPv6.isValid(address) ? wordsOf(ipaddr.IPv6.parse(address)) : undefined

function wordsOf(parsed: ipaddr.IPv4 | ipaddr.IPv6): number[] {
  const bytes = parsed.toByteArray()
  return Array.from({ length: bytes.length / 4 }, (_, index) =>
    bytes.slice(index * 4, index * 4 + 4).reduce((word, byte) => word * 256 + byte, 0)
  )
}
