import { Recent } from '../limits/recent.ts'
import type { Operation, Store } from '../store/store.ts'
import type { Signal } from './signals.ts'

/** Into how many parts a window is counted; what a part holds is forgotten once all of it is older than the window. */
const parts = 12
/** Points are kept in thousandths: stores count whole numbers. */
const fraction = 1000
/** Milliseconds until the other gateways' counts are asked for. */
const gather = 100
/** Networks asked for in one operation, at most. */
const atOnce = 128
/** Networks that are watched at the same time, at most: only those of which something was noted. */
const most = 20_000
/** Missing paths of one network that are told apart, at most. */
const mostPaths = 300

/** Of the config under which something is noted. */
export interface ScoreRule {
  /** Milliseconds. */
  readonly window: number
  readonly threshold: number
  readonly address: string
  /** Called when the threshold is reached, here or over all gateways, with what was counted here. */
  punish(address: string, evidence: Readonly<Record<string, number>>): void
}

/** What speaks against one network, as far as this gateway has seen it. */
interface Suspect {
  /** Points by the number of the part of time. */
  readonly points: Map<number, number>
  readonly evidence: Map<Signal, number>
  readonly missing: Set<string>
  unsent: number
}

/**
 * Adds up what speaks against each network, in a sliding window and over all gateways on the store. Costs nothing for a client of which
 * nothing is noted. While the store is away each gateway goes by what it has seen itself.
 */
export class Scores {
  readonly #store: Store
  readonly #suspects = new Recent<Suspect>(most)
  readonly #unsent = new Map<string, ScoreRule>()
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(store: Store) {
    this.#store = store
  }

  /** Notes a signal that weighs so many points. */
  add(network: string, signal: Signal, weight: number, rule: ScoreRule): void {
    if (weight === 0) return
    const suspect = this.#suspectOf(network)
    suspect.evidence.set(signal, (suspect.evidence.get(signal) ?? 0) + 1)
    const part = partOf(Date.now(), rule)
    suspect.points.set(part, (suspect.points.get(part) ?? 0) + weight)
    suspect.unsent += weight
    if (sumOf(suspect, part) >= rule.threshold) {
      this.#reach(network, suspect, rule)
      return
    }
    this.#unsent.set(network, rule)
    this.#timer ??= setTimeout(() => void this.#send(), gather).unref()
  }

  /** Whether a network asks for a path that there is not for the first time. */
  isNew(network: string, path: string): boolean {
    const { missing } = this.#suspectOf(network)
    if (missing.has(path) || missing.size >= mostPaths) return false
    missing.add(path.length > 200 ? path.slice(0, 200) : path)
    return true
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #reach(network: string, { evidence }: Suspect, { address, punish }: ScoreRule): void {
    // What it does once it is let in again counts anew.
    this.#suspects.delete(network)
    this.#unsent.delete(network)
    this.#store.delete(keyOf(network)).catch(() => {})
    punish(address, Object.fromEntries(evidence))
  }

  #suspectOf(network: string): Suspect {
    let suspect = this.#suspects.get(network)
    if (suspect === undefined) {
      suspect = { points: new Map(), evidence: new Map(), missing: new Set(), unsent: 0 }
      this.#suspects.set(network, suspect)
    }
    return suspect
  }

  async #send(): Promise<void> {
    const asked = [...this.#unsent].slice(0, atOnce).flatMap(([network, rule]) => {
      this.#unsent.delete(network)
      const suspect = this.#suspects.get(network)
      if (suspect === undefined) return []
      const points = Math.round(suspect.unsent * fraction)
      suspect.unsent = 0
      return [{ network, rule, points }]
    })
    this.#timer = undefined
    if (this.#unsent.size > 0) this.#timer = setTimeout(() => void this.#send(), gather).unref()
    // In a cluster each key may be elsewhere.
    const groups = this.#store.isWhole ? [asked] : asked.map((one) => [one])
    await Promise.all(groups.map((group) => this.#ask(group)))
  }

  async #ask(asked: readonly { network: string; rule: ScoreRule; points: number }[]): Promise<void> {
    if (asked.length === 0) return
    const keys = asked.map(({ network }) => keyOf(network))
    const args = asked.flatMap(({ rule, points }) => [points, rule.window])
    try {
      const sums = await this.#store.run(add, keys, args)
      for (const [index, { network, rule }] of asked.entries()) {
        const suspect = this.#suspects.get(network)
        if (suspect !== undefined && sums[index]! / fraction >= rule.threshold && !this.#isClosed) {
          this.#reach(network, suspect, rule)
        }
      }
    } catch {
      // What this gateway has seen itself is in its own sum.
    }
  }
}

const keyOf = (network: string): string => `toll:score:${network}`

const partOf = (now: number, { window }: ScoreRule): number => Math.floor((now * parts) / window)

function sumOf({ points }: Suspect, current: number): number {
  let sum = 0
  for (const [part, added] of points) {
    if (part < current - parts) points.delete(part)
    else sum += added
  }
  return sum
}

/** Adds points to each key and returns its sums over the window. ARGV for each key: points in thousandths, window in milliseconds. */
const add: Operation<readonly number[]> = {
  name: 'score-add',

  lua: `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local sums = {}
for i = 1, #KEYS do
  local points, window = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
  local current = math.floor(now * ${parts} / window)
  redis.call('HINCRBY', KEYS[i], string.format('%.0f', current), points)
  redis.call('PEXPIRE', KEYS[i], string.format('%.0f', window * 2))
  local sum = 0
  local fields = redis.call('HGETALL', KEYS[i])
  for j = 1, #fields, 2 do
    if tonumber(fields[j]) < current - ${parts} then redis.call('HDEL', KEYS[i], fields[j])
    else sum = sum + tonumber(fields[j + 1]) end
  end
  sums[i] = sum
end
return sums
`,

  transact(tx, keys, args) {
    return keys.map((key, index) => {
      const [points = 0, window = 1] = args.slice(2 * index, 2 * index + 2).map(Number)
      const current = Math.floor((tx.now * parts) / window)
      const before = tx.get<readonly (readonly [number, number])[]>(key) ?? []
      const kept = new Map(before.filter(([part]) => part >= current - parts))
      kept.set(current, (kept.get(current) ?? 0) + points)
      tx.put(key, [...kept], window * 2)
      return [...kept.values()].reduce((sum, one) => sum + one, 0)
    })
  },

  decode: (raw) => (raw as unknown[]).map(Number)
}
