import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startRedis } from '../support/redis.ts'
import { percentile, shown, start } from './figures.ts'

t.test(
  'Redis stalls under load: tokens pass as before, then as the route says; it is used again when it goes on',
  async (t) => {
    const stallMs = 5000
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const { login, refresh, me } = await start(
      t,
      { driver: 'redis', url: redis.url },
      { auth: { onStale: 'closed' } }
    )
    const { body } = await login()
    const { body: other } = await login()
    const times = { before: [] as number[], within: [] as number[], after: [] as number[] }
    const statuses = { before: new Set<number>(), within: new Set<number>(), after: new Set<number>() }
    const logins: number[] = []
    let stalledAt = Number.POSITIVE_INFINITY
    let isOver = false
    const load = async () => {
      while (!isOver) {
        const from = performance.now()
        const since = from - stalledAt
        const status = await me(body.access_token)
        const phase = since < 0 ? 'before' : since < 1500 ? 'within' : 'after'
        times[phase].push(performance.now() - from)
        // What was asked around the moment it became stale may be either.
        if (phase !== 'after' || since > 2700) statuses[phase].add(status)
        await sleep(5)
      }
    }
    const workers = Array.from({ length: 4 }, load)
    await sleep(2000)
    redis.pause()
    stalledAt = performance.now()
    while (performance.now() - stalledAt < stallMs) {
      for (const door of [login, () => refresh(other.refresh_token)]) {
        const from = performance.now()
        const { status } = await door()
        logins.push(performance.now() - from)
        t.equal(status, 503)
      }
      await sleep(200)
    }
    isOver = true
    await Promise.all(workers)
    redis.resume()
    const resumedAt = performance.now()
    const answers = async (): Promise<string> => {
      const access = await me(body.access_token)
      if (access !== 200) return `a token is answered with ${access}`
      const { status, text } = await refresh(other.refresh_token)
      return status === 200 ? '' : `a refresh is answered with ${status} ${text}`
    }
    for (let said = await answers(); said !== ''; said = await answers()) {
      if (performance.now() - resumedAt > 8000) throw new Error(`it was not used again: ${said}`)
      await sleep(10)
    }
    const recovery = performance.now() - resumedAt
    t.same([...statuses.before, ...statuses.within], [200, 200])
    t.same([...statuses.after], [503])
    t.comment(
      `access before ${shown(times.before)}; within ${shown(times.within)}; after ${shown(times.after)}`
    )
    t.comment(`sign-in and refresh refused: ${shown(logins)}; again in use after ${recovery.toFixed(0)} ms`)
    t.ok(
      percentile(times.within, 0.99) < percentile(times.before, 0.99) + 100,
      'no request waits for the store'
    )
    t.ok(percentile(logins, 0.5) < 400)
    t.ok(recovery < 4000)
  }
)
