import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Asking, Reply } from './asking.ts'
import { type Cluster, password, pick, userNames } from './cluster.ts'
import type { Refresh, Seen } from './history.ts'

/** Tokens that were given out together. */
interface Pair {
  readonly session: string
  readonly generation: number
  readonly access: string
  readonly refresh: string
}

const keptGraves = 200
/** A client keeps the tokens it had; thieves and ghosts show them again. */
const keptPairs = 6

/** Clients that do everything right, and those that do not; whatever they see goes into one history. */
export class Crowd {
  readonly history: Seen[] = []
  /** How many refreshes were answered with a new pair. */
  refreshed = 0
  readonly #cluster: Cluster
  readonly #asking: Asking
  readonly #isOver: () => boolean
  readonly #graves: Pair[][] = []

  constructor(cluster: Cluster, asking: Asking, isOver: () => boolean) {
    this.#cluster = cluster
    this.#asking = asking
    this.#isOver = isOver
  }

  /** Signs in, lives, signs in again. */
  async honest(): Promise<void> {
    while (!this.#isOver()) {
      const pair = await this.#login()
      if (pair !== undefined) await this.#live([pair])
    }
  }

  /** Tries tokens of sessions that are over. */
  async ghost(): Promise<void> {
    while (!this.#isOver()) {
      await sleep(2)
      // Mostly those that have just ended: they are the most likely to be still alive somewhere.
      const recent = Math.random() < 0.5 ? this.#graves.slice(-3) : this.#graves
      const pair = recent.length > 0 ? pick(pick(recent)) : undefined
      if (pair === undefined) continue
      if (Math.random() < 0.6) await this.#use(pair)
      else await this.#refresh(pair, 'thief')
    }
  }

  async #live(pairs: Pair[]): Promise<void> {
    while (!this.#isOver()) {
      const pair = pairs.at(-1)!
      const dice = Math.random()
      if (dice < 0.015) {
        await (dice < 0.01 ? this.#logout(pair) : this.#kick(pair))
        break
      }
      // A thief shows what was used before; within the rules that ends the session, or gives what its owner has.
      if (dice < 0.022 && pairs.length > 1) await this.#refresh(pick(pairs.slice(0, -1)), 'thief')
      if (dice > 0.5) await this.#use(pair)
      const next = await this.#next(pair)
      if (next === undefined) break
      pairs.push(next)
      if (pairs.length > keptPairs) pairs.shift()
    }
    this.#graves.push(pairs)
    if (this.#graves.length > keptGraves) this.#graves.shift()
  }

  /** Refreshes until there is an answer, always with the same token; undefined once it is refused. */
  async #next(pair: Pair): Promise<Pair | undefined> {
    while (!this.#isOver()) {
      const dice = Math.random()
      if (dice < 0.04) await this.#refresh(pair, 'honest', true)
      // Two windows at the same moment.
      if (dice > 0.97) void (await Promise.all([0, 1].map(() => this.#refresh(pair, 'honest'))))
      const { status, given } = await this.#refresh(pair, 'honest')
      if (status === 200) return given
      if (status === 400) return undefined
      await sleep(20 + Math.random() * 60)
    }
    return undefined
  }

  async #login(): Promise<Pair | undefined> {
    const json = { username: pick(userNames), password }
    const [node, from, reply] = await this.#at((origin) =>
      this.#asking.ask('POST', `${origin}/auth/login`, { json })
    )
    const pair = pairOf(reply)
    if (pair === undefined) {
      await sleep(50)
      return undefined
    }
    const { session } = pair
    this.history.push({ kind: 'login', node, from, to: performance.now(), session, status: reply.status })
    return pair
  }

  async #refresh(
    shown: Pair,
    who: Refresh['who'],
    isLost = false
  ): Promise<{ status: number; given: Pair | undefined }> {
    const json = { refresh_token: shown.refresh }
    const [node, from, reply] = await this.#at((origin) => {
      const url = `${origin}/auth/refresh`
      return isLost ? this.#asking.lose(url, json) : this.#asking.ask('POST', url, { json })
    })
    const given = pairOf(reply)
    const { session, generation } = shown
    const asked = { node, from, to: performance.now(), session, generation, status: reply.status }
    const token = given && createHash('sha256').update(given.refresh).digest('base64url').slice(0, 16)
    this.history.push({
      kind: 'refresh',
      who,
      ...asked,
      ...(given && { given: { session: given.session, generation: given.generation, token: token! } })
    })
    if (given !== undefined) this.refreshed += 1
    return { status: reply.status, given }
  }

  async #use({ access, session, generation }: Pair): Promise<void> {
    const [node, from, { status }] = await this.#at((origin) =>
      this.#asking.ask('GET', `${origin}/auth/me`, { token: access })
    )
    this.history.push({ kind: 'use', node, from, to: performance.now(), session, generation, status })
  }

  async #logout({ session, refresh }: Pair): Promise<void> {
    await this.#end(session, (node) =>
      this.#asking.ask('POST', `${this.#cluster.origins[node]}/auth/logout`, {
        json: { refresh_token: refresh }
      })
    )
  }

  async #kick({ session }: Pair): Promise<void> {
    const { admins, adminToken } = this.#cluster
    await this.#end(session, (node) =>
      this.#asking.ask('DELETE', `${admins[node]}/admin/sessions/${session}`, { token: adminToken })
    )
  }

  /** Until it is acknowledged; 404 is for what a lost answer had ended already. */
  async #end(session: string, ask: (node: number) => Promise<Reply>): Promise<void> {
    while (!this.#isOver()) {
      const node = this.#node()
      const from = performance.now()
      const { status } = await ask(node)
      this.history.push({ kind: 'end', node, from, to: performance.now(), session, status })
      if (status === 204 || status === 202 || status === 404) return
      await sleep(20 + Math.random() * 60)
    }
  }

  async #at(ask: (origin: string) => Promise<Reply>): Promise<[node: number, from: number, reply: Reply]> {
    const node = this.#node()
    const from = performance.now()
    return [node, from, await ask(this.#cluster.origins[node]!)]
  }

  #node(): number {
    return Math.floor(Math.random() * this.#cluster.origins.length)
  }
}

function pairOf({ status, body }: Reply): Pair | undefined {
  if (status !== 200) return undefined
  const refresh = String(body.refresh_token)
  const generation = Number(refresh.split('.')[4])
  return { session: String(body.session), generation, access: String(body.access_token), refresh }
}
