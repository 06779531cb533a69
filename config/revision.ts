import { createHash, hash } from 'node:crypto'
import type { ConfigMemory } from './memory.ts'
import { inTurns, type Pace, type Turns } from './pace.ts'

/**
 * Short hash of a content: that of its JSON with sorted keys, so that the order in which keys are written makes no new revision. What
 * stands two levels deep is hashed by itself, so that nothing has to be written again that the config before had as well.
 */
export function revisionOf(value: object, pace: Pace, memory: ConfigMemory | undefined): Promise<string> {
  return inTurns(revise(value, memory), pace)
}

function* revise(value: object, memory: ConfigMemory | undefined): Turns<string> {
  const whole = createHash('sha256')
  for (const key of keysOf(value)) {
    const entry = (value as Record<string, unknown>)[key]
    whole.update(`${JSON.stringify(key)}:`)
    if (!Array.isArray(entry)) whole.update(canonical(entry))
    else {
      whole.update(`[${entry.length}`)
      for (const item of entry as unknown[]) {
        whole.update(digestOf(item, memory))
        yield
      }
    }
  }
  return whole.digest('hex').slice(0, 12)
}

function digestOf(item: unknown, memory: ConfigMemory | undefined): string {
  if (typeof item !== 'object' || item === null) return hash('sha256', canonical(item), 'base64url')
  const known = memory?.digest(item)
  if (known !== undefined) return known
  const digest = hash('sha256', canonical(item), 'base64url')
  memory?.keepDigest(item, digest)
  return digest
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const entries = keysOf(value).map(
    (key) => `${JSON.stringify(key)}:${canonical((value as Record<string, unknown>)[key])}`
  )
  return `{${entries.join(',')}}`
}

/** What JSON would leave out is left out. */
const keysOf = (value: object): readonly string[] =>
  Object.keys(value)
    .filter((key) => (value as Record<string, unknown>)[key] !== undefined)
    .sort()
