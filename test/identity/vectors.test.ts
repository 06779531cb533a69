import type { JsonWebKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { readKeySet } from '../../services/identity/tokens/jwk-set.ts'
import { verifyCompact } from '../../services/identity/tokens/verify-compact.ts'

/** Signatures that others have published, with what a careful verifier says of them. */
interface Vectors<Key> {
  readonly source: string
  readonly keys: Readonly<Record<string, Key>>
  readonly cases: readonly {
    readonly id: string | number
    readonly key: string
    readonly jws: string
    readonly expected: 'valid' | 'invalid'
    /** Why this one is judged otherwise here. */
    readonly outOfScope?: string
  }[]
}

const read = <Key>(name: string): Vectors<Key> =>
  JSON.parse(readFileSync(new URL(`../../../test/vectors/${name}.json`, import.meta.url), 'utf8'))

for (const name of ['rfc', 'wycheproof-jws']) {
  const { source, keys, cases } = read<JsonWebKey>(name)
  t.test(source, async (t) => {
    for (const { id, key, jws, expected, outOfScope } of cases) {
      const { valid } = verifyCompact(jws, keys[key]!)
      const says = outOfScope === undefined ? expected : expected === 'valid' ? 'invalid' : 'valid'
      t.equal(valid ? 'valid' : 'invalid', says, `${id}${outOfScope === undefined ? '' : `: ${outOfScope}`}`)
    }
  })
}

const sets = read<readonly JsonWebKey[]>('wycheproof-jwk')
t.test(sets.source, async (t) => {
  const kidOf = (jws: string): unknown =>
    JSON.parse(Buffer.from(jws.split('.')[0]!, 'base64url').toString()).kid
  for (const { id, key, jws, expected } of sets.cases) {
    const keys = sets.keys[key]!
    const named = keys.filter(({ kid }) => kid === kidOf(jws))
    const isPublic = keys.every(({ kty }) => kty !== 'oct')
    // A gateway has a shared secret in no set: there, one key of the name and of no other kind is what it takes to be valid.
    const isSound = isPublic
      ? loads(keys, kidOf(jws))
      : named.length === 1 && keys.every(({ kty }) => kty === 'oct')
    const valid = isSound && verifyCompact(jws, named[0]!).valid
    t.equal(valid ? 'valid' : 'invalid', expected, `${id} ${key}`)
  }
})

function loads(keys: readonly JsonWebKey[], kid: unknown): boolean {
  const set = readKeySet(Buffer.from(JSON.stringify({ keys })), ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'])
  return set.keys.has(String(kid))
}
