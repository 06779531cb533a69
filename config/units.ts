import { type TString, Type } from '@sinclair/typebox'

const milliseconds: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}
const bytes: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** A field that holds a duration such as "500ms" or "15m". Read it with `toMilliseconds`, or `toWait` for a timer. */
export const Duration = (options: { description: string; default?: string }): TString =>
  Type.String({ ...options, pattern: '^(0|[1-9][0-9]{0,8})(ms|s|m|h|d)$', examples: ['500ms', '15m'] })

/** A field that holds a size such as "16KiB". Read it with `toBytes`. */
export const Size = (options: { description: string; default?: string }): TString =>
  Type.String({ ...options, pattern: '^(0|[1-9][0-9]{0,8})(B|KiB|MiB|GiB)$', examples: ['16KiB', '4MiB'] })

/** Milliseconds in a validated duration. */
export const toMilliseconds = (duration: string): number => measure(duration, milliseconds)

/** The longest a timer of Node can wait, 24 days: one that is set for more rings at once. */
export const longestWait = 2 ** 31 - 1

/** Milliseconds in a validated duration that a timer is to wait. */
export const toWait = (duration: string): number => Math.min(longestWait, toMilliseconds(duration))

/** Bytes in a validated size. */
export const toBytes = (size: string): number => measure(size, bytes)

function measure(value: string, units: Readonly<Record<string, number>>): number {
  const [, amount, unit] = /^(\d+)([A-Za-z]+)$/.exec(value) ?? []
  const factor = units[unit ?? '']
  if (factor === undefined) throw new TypeError(`"${value}" is not one of ${Object.keys(units).join(', ')}`)
  return Number(amount) * factor
}
