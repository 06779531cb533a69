import { BadRequest } from '../../errors.ts'
import type { TLSOptions } from '../transport/connection.ts'
import { type CommonSettings, Member, type MemberSettings, type NodeSpec, type NodeState } from './member.ts'
import { identityOf } from './node-id.ts'
import { type Figures, noFigures } from './standing.ts'

/** What somebody changed about a node while the gateway runs. It holds across reloads, until it is lifted. */
export interface NodeOverride {
  readonly id: string
  /** Where the node is, when the config knows nothing of it. */
  readonly url?: string
  readonly weight?: number
  readonly state?: NodeState
  /** True when the config has the node and it is to be as if it had not. */
  readonly isDetached?: boolean
}

export interface AttachOptions {
  readonly id?: string
  readonly url: string
  readonly weight?: number
}

/** What a pool says about itself when it asks for its nodes. */
export interface Party {
  readonly specs: readonly NodeSpec[]
  readonly tls: TLSOptions
  readonly common: CommonSettings
  /** Its nodes, or what is known of them, have changed. */
  onChange(): void
}

interface Held {
  readonly member: Member
  holders: number
}

/**
 * What outlives the configs of one service: its nodes with their connections and standing, what was changed while running, and the
 * figures. Each config's pool takes its nodes from here, so that the same url is the same node before and after a reload.
 */
export class Roster {
  readonly #service: string
  readonly #members = new Map<string, Held>()
  readonly #parties = new Map<Party, readonly Member[]>()
  #overrides = new Map<string, NodeOverride>()
  /** The pool of the config that serves. */
  #current: Party | undefined
  readonly figures: Figures = noFigures()

  constructor(service: string) {
    this.#service = service
  }

  /** Everything that was changed while running, for the store. */
  get overrides(): readonly NodeOverride[] {
    return [...this.#overrides.values()]
  }

  membersOf(party: Party): readonly Member[] {
    return this.#parties.get(party) ?? []
  }

  join(party: Party): void {
    this.#parties.set(party, [])
    this.#current ??= party
    this.#muster(party)
  }

  /** The config of this pool is the one that serves from here on. */
  activate(party: Party): void {
    this.#current = party
    this.#configure()
  }

  leave(party: Party): void {
    const members = this.membersOf(party)
    this.#parties.delete(party)
    if (this.#current === party) this.#current = undefined
    for (const member of members) this.#release(member)
  }

  attach(options: AttachOptions): NodeOverride {
    const { url, weight } = options
    if (!isNodeURL(url)) {
      throw BadRequest([`"${url.slice(0, 200)}" is not where a node can be; write http://host:port.`])
    }
    const href = hrefOf(url)
    const configured = this.#current?.specs.find((spec) => hrefOf(spec.url) === href)
    const id = configured?.id ?? options.id ?? identityOf(this.#service, url)
    const specs = this.#specs(this.#current, this.#overrides)
    if (specs.some((spec) => spec.id === id || hrefOf(spec.url) === href))
      throw BadRequest([`"${this.#service}" has this node already, or one with the id "${id}".`])
    const override: NodeOverride = {
      id,
      ...(configured === undefined && { url }),
      ...(weight !== undefined && { weight })
    }
    this.#put(id, override)
    return override
  }

  /** False when there is no such node. */
  update(id: string, change: { readonly weight?: number; readonly state?: NodeState }): boolean {
    if (!this.#has(id)) return false
    this.#put(id, { ...this.#overrides.get(id), id, ...change })
    return true
  }

  detach(id: string): boolean {
    if (!this.#has(id)) return false
    const isConfigured = this.#current?.specs.some((spec) => spec.id === id)
    this.#put(id, isConfigured === true ? { id, isDetached: true } : undefined)
    return true
  }

  /** Replaces all overrides by these; the same list twice changes nothing. */
  apply(overrides: readonly NodeOverride[]): void {
    const sound = overrides.filter(({ url }) => url === undefined || isNodeURL(url))
    this.#overrides = new Map(sound.map((override) => [override.id, override]))
    this.#musterAll()
  }

  readonly noteChange = (): void => {
    for (const party of this.#parties.keys()) party.onChange()
  }

  #put(id: string, override: NodeOverride | undefined): void {
    if (override === undefined) this.#overrides.delete(id)
    else this.#overrides.set(id, override)
    this.#musterAll()
  }

  #has(id: string): boolean {
    return this.#specs(this.#current, this.#overrides).some((spec) => spec.id === id)
  }

  #musterAll(): void {
    for (const party of this.#parties.keys()) this.#muster(party)
  }

  #specs(party: Party | undefined, overrides: ReadonlyMap<string, NodeOverride>): readonly NodeSpec[] {
    const specs = (party?.specs ?? []).filter(({ id }) => overrides.get(id)?.isDetached !== true)
    const taken = new Set(party?.specs.flatMap(({ id, url }) => [id, hrefOf(url)]))
    for (const { id, url, weight = 1 } of overrides.values()) {
      // Where the config has caught up with what was attached, it is the config's node now.
      if (url === undefined || taken.has(id) || taken.has(hrefOf(url))) continue
      specs.push({ id, url, weight, source: 'attached' })
    }
    return specs
  }

  /** Gives a pool the nodes it has now. */
  #muster(party: Party): void {
    const before = this.membersOf(party)
    const members = this.#specs(party, this.#overrides).map((spec) => this.#acquire(spec, party))
    this.#parties.set(party, members)
    for (const member of before) this.#release(member)
    if (party === this.#current) this.#configure()
    party.onChange()
  }

  #configure(): void {
    const party = this.#current!
    const specs = this.#specs(party, this.#overrides)
    for (const [index, member] of this.membersOf(party).entries()) {
      member.configure(this.#settingsFor(specs[index]!, party))
    }
    for (const { member } of this.#members.values()) {
      if (!this.membersOf(party).includes(member)) member.retire()
    }
    this.noteChange()
  }

  #settingsFor({ id, weight, source }: NodeSpec, { common }: Party): MemberSettings {
    const override = this.#overrides.get(id)
    return { ...common, source, weight: override?.weight ?? weight, state: override?.state ?? 'up' }
  }

  #acquire(spec: NodeSpec, party: Party): Member {
    const key = keyOf(spec, party.tls)
    let held = this.#members.get(key)
    if (held === undefined) {
      const settings = this.#settingsFor(spec, party)
      const { figures, noteChange: onChange } = this
      const member = new Member({ spec, key, tls: party.tls, settings, figures, onChange })
      held = { member, holders: 0 }
      this.#members.set(key, held)
    }
    held.holders += 1
    return held.member
  }

  #release(member: Member): void {
    const held = this.#members.get(member.key)!
    held.holders -= 1
    if (held.holders > 0) return
    this.#members.delete(member.key)
    member.close()
  }
}

/** What makes a node the same: its id, where it is, and how it is trusted. */
const keyOf = ({ id, url, srv }: NodeSpec, tls: TLSOptions): string =>
  JSON.stringify([id, hrefOf(url), srv, tls.verify, tls.ca, tls.servername])

const hrefOf = (url: string): string => new URL(url).href

const isNodeURL = (url: string): boolean => /^https?:\/\/[^\s?#@]+$/.test(url) && URL.canParse(url)
