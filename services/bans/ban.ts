/** One network that is shut out, and why. Times in milliseconds since the epoch. */
export interface Ban {
  /** As `parseNetwork` writes it. */
  readonly network: string
  readonly reason: string
  /** What was counted against it, by signal; empty where somebody decided. */
  readonly evidence: Readonly<Record<string, number>>
  readonly since: number
  readonly until: number
  /** The how manieth it is of this network, as far as is remembered. */
  readonly level: number
  /** `automatic`, or the subject of whoever placed it. */
  readonly by: string
}

/** Why somebody is to be shut out. */
export interface Cause {
  readonly reason: string
  readonly evidence: Readonly<Record<string, number>>
}

/** A ban of what was read from the store; undefined for what a newer gateway, or somebody else, has written. */
export function readBan(text: string): Ban | undefined {
  try {
    const ban = JSON.parse(text) as Ban
    const isBan =
      typeof ban.network === 'string' && typeof ban.reason === 'string' && Number.isFinite(ban.until)
    return isBan ? ban : undefined
  } catch {
    return undefined
  }
}
