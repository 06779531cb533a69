import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { toMilliseconds } from '../../../config/units.ts'
import { FileKeys } from './file-keys.ts'
import { ForeignIssuer } from './foreign-issuer.ts'
import { RemoteKeys } from './remote-keys.ts'
import type { IssuerOptions } from './slice.ts'

/** Milliseconds a start waits for the keys of others; who is late is waited for by the requests that need them. */
const moment = 1000

export interface IssuerSurroundings {
  readonly directory: string
  readonly skew: number
  readonly warn: (sentence: string) => void
}

/** Opens the other issuers. That one of them does not answer is no reason not to start; that a file of keys is missing is one. */
export async function openIssuers(
  options: readonly IssuerOptions[],
  { directory, skew, warn }: IssuerSurroundings
): Promise<readonly ForeignIssuer[]> {
  const issuers: ForeignIssuer[] = []
  const fetches: Promise<void>[] = []
  try {
    for (const { keys: path, maxLifetime, subjectPrefix, allowInsecure, jwks, ...option } of options) {
      const { name, issuer, audience, algorithms, types, scopeClaim } = option
      const say = (sentence: string): void => warn(`Issuer "${name}": ${sentence}.`)
      const keys =
        path === undefined
          ? new RemoteKeys({ issuer, jwks, algorithms, allowInsecure }, say)
          : await FileKeys.open(resolve(directory, path), algorithms, say)
      if (keys instanceof RemoteKeys) fetches.push(keys.refresh())
      const rules = {
        ...{ name, issuer, audience, algorithms, types, scopeClaim, skew },
        maxLifetime: Math.ceil(toMilliseconds(maxLifetime) / 1000),
        subjectPrefix: subjectPrefix ?? `${name}:`
      }
      issuers.push(new ForeignIssuer(rules, keys))
    }
  } catch (error) {
    for (const issuer of issuers) issuer.close()
    throw error
  }
  if (fetches.length > 0) await Promise.race([Promise.all(fetches), sleep(moment, undefined, { ref: false })])
  return issuers
}
