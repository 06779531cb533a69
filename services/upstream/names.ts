import { lookup, promises } from 'node:dns'
import { isIP } from 'node:net'
import type { Place } from './node.ts'

/** How names of nodes are resolved. All times in milliseconds. */
export interface NameSettings {
  /** Name servers; empty for the system's. */
  readonly servers: readonly string[]
  readonly family: 'auto' | 'ipv4' | 'ipv6' | 'both'
  /** Bounds of how long an answer holds, whatever it says itself. */
  readonly minTTL: number
  readonly maxTTL: number
  readonly timeout: number
}

/** Where a name leads. */
export interface Address {
  readonly host: string
  readonly port: number
  /** Weight among the addresses of the name (SRV); 1 without. */
  readonly factor: number
}

/** Most addresses that are taken from one name. */
const maxAddresses = 64

/** Whether a node is at a name that has to be followed; the system resolves its own name best by itself. */
export const isFollowed = ({ host }: Place, srv: string | undefined): boolean =>
  srv !== undefined || (isIP(host) === 0 && host !== 'localhost' && !host.endsWith('.localhost'))

/** Follows one name: resolves it, and again when the answer is old. What was known last holds while nobody answers. */
export class NameFollower {
  readonly #place: Place
  readonly #srv: string | undefined
  readonly #settings: NameSettings
  readonly #onAddresses: (addresses: readonly Address[]) => void
  readonly #onFailure: () => void
  readonly #resolver: promises.Resolver
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #isStopped = false
  /** Settles with the first answer, or when there was none. */
  readonly first: Promise<void>

  constructor(
    place: Place,
    srv: string | undefined,
    settings: NameSettings,
    onAddresses: (addresses: readonly Address[]) => void,
    onFailure: () => void
  ) {
    this.#place = place
    this.#srv = srv
    this.#settings = settings
    this.#onAddresses = onAddresses
    this.#onFailure = onFailure
    this.#resolver = new promises.Resolver({ timeout: settings.timeout, tries: 2 })
    if (settings.servers.length > 0) this.#resolver.setServers(settings.servers)
    this.first = this.#follow()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#resolver.cancel()
  }

  async #follow(): Promise<void> {
    const { minTTL, maxTTL } = this.#settings
    let wait: number
    try {
      const { addresses, ttl } = this.#srv === undefined ? await this.#host() : await this.#service(this.#srv)
      if (this.#isStopped) return
      this.#failures = 0
      wait = Math.min(maxTTL, Math.max(minTTL, ttl * 1000))
      this.#onAddresses(addresses.slice(0, maxAddresses))
    } catch {
      if (this.#isStopped) return
      wait = Math.min(maxTTL, minTTL * 2 ** Math.min(this.#failures, 20))
      this.#failures += 1
      this.#onFailure()
    }
    this.#timer = setTimeout(() => void this.#follow(), wait).unref()
  }

  async #host(): Promise<Answer> {
    const { host, port } = this.#place
    return addressed(await this.#resolve(host), port, 1)
  }

  /** The records of the best priority, each with its own port (RFC 2782). */
  async #service(name: string): Promise<Answer> {
    const records = await this.#resolver.resolveSrv(name)
    const best = Math.min(...records.map(({ priority }) => priority))
    const chosen = records.filter(({ priority }) => priority === best).slice(0, maxAddresses)
    const answers = await Promise.all(
      chosen.map(async ({ name: host, port, weight }) =>
        addressed(await this.#resolve(host), port, Math.max(1, weight))
      )
    )
    return {
      addresses: answers.flatMap(({ addresses }) => addresses),
      ttl: Math.min(...answers.map(({ ttl }) => ttl))
    }
  }

  /** Throws when nobody knows. */
  async #resolve(host: string): Promise<Found> {
    if (isIP(host) !== 0) return { hosts: [host], ttl: Number.POSITIVE_INFINITY }
    const { family, servers } = this.#settings
    const isSystem = servers.length === 0
    const [four, six, hosts] = await Promise.all([
      family === 'ipv6' ? nobody : this.#resolver.resolve4(host, { ttl: true }).catch(() => nobody),
      family === 'ipv4' ? nobody : this.#resolver.resolve6(host, { ttl: true }).catch(() => nobody),
      isSystem ? systemLookup(host, family) : undefined
    ])
    // A machine with both has one record of each: it would count twice.
    const records = family === 'auto' && four.length > 0 ? four : [...four, ...six]
    const ttl = Math.min(...records.map(({ ttl }) => ttl))
    if (hosts === undefined) {
      if (records.length === 0) throw new Error('no answer')
      return { hosts: records.map(({ address }) => address), ttl }
    }
    // What the system says holds, since it knows its hosts file and search domains; the records say for how long.
    return { hosts, ttl: records.some(({ address }) => hosts.includes(address)) ? ttl : systemTTL }
  }
}

interface Found {
  readonly hosts: readonly string[]
  /** Seconds. */
  readonly ttl: number
}

interface Answer {
  readonly addresses: readonly Address[]
  readonly ttl: number
}

const nobody: readonly { readonly address: string; readonly ttl: number }[] = []

/** What only the system knows has no time to live: seconds until it is looked up again. */
const systemTTL = 10

const addressed = ({ hosts, ttl }: Found, port: number, factor: number): Answer => ({
  addresses: hosts.map((host) => ({ host, port, factor })),
  ttl
})

function systemLookup(host: string, family: NameSettings['family']): Promise<string[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true, family: family === 'ipv4' ? 4 : family === 'ipv6' ? 6 : 0 }, (error, found) => {
      if (error !== null) {
        reject(error)
        return
      }
      const four = found.filter((one) => one.family === 4)
      const taken = family === 'auto' && four.length > 0 ? four : found
      resolve(taken.map(({ address }) => address))
    })
  })
}
