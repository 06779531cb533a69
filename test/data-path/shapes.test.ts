import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import t from 'tap'
import type { Plan } from '../../routes/proxy/plan.ts'
import { planRelease, type Releases } from '../../routes/proxy/release.ts'
import { RouteMemory } from '../../routes/table/memory.ts'
import { freezeVerified } from '../../services/identity/tokens/own-issuer.ts'
import { rateOf } from '../../services/limits/bucket.ts'
import { leasedRate } from '../../services/limits/leases.ts'
import { routeOf } from '../support/table.ts'

/**
 * Whether V8 knows both by one hidden class. Where it does not, each of a thousand users or routes is looked up slowly at each request, and
 * no test of what is answered would notice.
 */
setFlagsFromString('--allow-natives-syntax')
const haveOneShape = runInThisContext('(one, other) => %HaveSameMap(one, other)') as (
  one: object,
  other: object
) => boolean

/** V8 widens what it has taken for a small number when a larger one comes, so the first ones may differ. */
const settled = 100

function sharing(made: readonly object[]): number {
  const rest = made.slice(settled)
  return rest.filter((one) => haveOneShape(one, rest[0]!)).length
}

const numbers = Array.from({ length: 300 }, (_, number) => number)

t.test('users, limits and routes that moved have one shape each', async (t) => {
  t.notOk(haveOneShape({ a: 1 }, { b: 1 }), 'others are told apart')
  const verified = numbers.map((number) =>
    freezeVerified({
      subject: `user-${number}`,
      session: `session-${number}`,
      scopes: [],
      claims: JSON.parse(
        `{"iss":"toll","sub":"user-${number}","aud":"api","exp":${2e9 + number},"iat":${1e9}}`
      ),
      kid: 'a',
      isOwn: true
    })
  )
  t.equal(sharing(verified), numbers.length - settled, 'verified tokens')
  const rates = numbers.map((number) => leasedRate(rateOf({ qps: number + 1, slack: number })))
  t.equal(sharing(rates), numbers.length - settled, 'leased limits')
  const memory = new RouteMemory()
  const routes = numbers.map((number) => {
    const options = routeOf({ id: `route-${number}`, path: `/at/${number}` })
    memory.compile(options, number)
    return memory.compile(options, number + 1)
  })
  t.equal(sharing(routes), numbers.length - settled, 'routes at another place')
  const releases = { of: () => ({}), fallbackOf: () => undefined } as unknown as Releases
  const plans = routes.map((route) =>
    planRelease(
      route,
      releases,
      (of, service) => ({ route: of, service, fallback: undefined }) as unknown as Plan
    )
  )
  t.equal(sharing(plans), numbers.length - settled, 'plans')
})
