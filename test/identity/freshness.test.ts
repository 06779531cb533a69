import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Freshness } from '../../services/identity/revocations/freshness.ts'
import type { Verified } from '../../services/identity/tokens/verifier.ts'

t.test(
  'what passes while the list is stale: only whom it knew or who is young, unless the route says otherwise',
  async (t) => {
    let now = 1_000_000_000_000
    const said: string[] = []
    const store = { heardAt: Number.NEGATIVE_INFINITY }
    const hear = () => {
      store.heardAt = performance.now()
    }
    const freshness = new Freshness(
      store,
      20,
      () => now,
      (sentence) => said.push(sentence)
    )
    const token = (age: number, verifiedAt?: number) =>
      ({
        claims: { iat: now / 1000 - age },
        ...(verifiedAt !== undefined && { verifiedAt })
      }) as unknown as Verified
    // 1. Without ever having had a list it knows of nobody.
    t.ok(freshness.isStale())
    t.notOk(freshness.serves('degraded', token(0)))
    t.ok(freshness.serves('open', token(0)))
    // 2. With one, it is fresh for a while.
    const before = performance.now()
    hear()
    freshness.watch()
    t.notOk(freshness.isStale())
    await sleep(40)
    t.ok(freshness.isStale())
    freshness.watch()
    freshness.watch()
    // 3. Young tokens, and those that were here before the silence.
    t.ok(freshness.serves('degraded', token(119)))
    t.notOk(freshness.serves('degraded', token(120)))
    t.notOk(freshness.serves('degraded', token(500, performance.now())))
    t.ok(freshness.serves('degraded', token(500, before)))
    t.notOk(freshness.serves('closed', token(0, before)))
    t.equal(freshness.served, 0, 'who only asks is not served')
    freshness.count()
    t.equal(freshness.served, 1)
    now += 120_000
    hear()
    freshness.watch()
    freshness.watch()
    t.equal(said.length, 2, 'the beginning and the end, once each')
  }
)
