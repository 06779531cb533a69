import type { Pace } from './pace.ts'

/** Freezes a config to its last value, in turns. */
export async function deepFreeze(value: unknown, pace: Pace): Promise<void> {
  if (typeof value !== 'object' || value === null) return
  for (const entry of Object.values(value)) {
    for (const inner of Array.isArray(entry) ? (entry as unknown[]) : [entry]) {
      freeze(inner)
      if (pace.isDue) await pace.rest()
    }
    freeze(entry)
  }
  Object.freeze(value)
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  for (const inner of Object.values(value)) freeze(inner)
  Object.freeze(value)
}
