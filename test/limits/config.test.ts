import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { ConfigError } from '../../config/mistake.ts'
import { configFor } from '../support/upstream.ts'

/** What a limit of a route is refused with, each as pointer and sentence. */
async function mistakes(t: Test, limit: unknown): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'gateway.config.json')
  writeFileSync(path, JSON.stringify(configFor(['http://a'], { route: { limit } })))
  try {
    await loadGatewayConfig(path)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.mistakes.map(({ pointer, sentence }) => `${pointer} ${sentence}`)
  }
}

t.test('everything that a limit may say', async (t) => {
  const good: unknown[] = [
    { qps: 0.5 },
    { qps: 100, slack: 0, by: ['subject', 'header:x-tenant'], scope: 'leased' },
    { qps: 10, mode: 'wait', maxWait: '250ms', maxQueue: 5 },
    { quota: 1000, window: '30d', by: 'api-key', onStoreError: 'closed', cost: 10, costHeader: 'x-cost' },
    { concurrency: 4, by: 'address', scope: 'local', shadow: true },
    { qps: 5, tiers: { claim: 'plan', of: { gold: { qps: 500, slack: 100 }, free: { qps: 1, slack: 0 } } } },
    [{ qps: 5 }, { name: 'daily', quota: 1000 }, { name: 'at-once', concurrency: 3 }]
  ]
  for (const limit of good) t.same(await mistakes(t, limit), [], JSON.stringify(limit))
})

t.test('what makes no sense is refused where it stands, in a sentence', async (t) => {
  const bad: [unknown, string][] = [
    [{}, '/routes/0/limit a limit has one of "qps", "quota" and "concurrency"'],
    [{ qps: 1, quota: 5 }, '/routes/0/limit a limit has one of "qps", "quota" and "concurrency"'],
    [{ quota: 5, slack: 1 }, '/routes/0/limit/slack "slack" belongs to "qps"'],
    [{ qps: 5, window: '1h' }, '/routes/0/limit/window "window" belongs to "quota"'],
    [{ quota: 5, window: '500ms' }, '/routes/0/limit/window a window is from 1s to 31 days long'],
    [{ quota: 5, window: '32d' }, '/routes/0/limit/window a window is from 1s to 31 days long'],
    [
      { qps: 5, slack: 1, cost: 3 },
      '/routes/0/limit a request costs 3 and no more than 2 are ever let through at once'
    ],
    [{ quota: 5, scope: 'leased' }, '/routes/0/limit/scope only a limit of "qps" can be leased'],
    [{ concurrency: 5, mode: 'wait' }, '/routes/0/limit/mode only requests to a limit of "qps" can wait'],
    [
      { qps: 5, mode: 'wait', scope: 'leased' },
      '/routes/0/limit/mode requests cannot wait for a leased limit; take the scope "exact"'
    ],
    [{ concurrency: 5, cost: 2 }, '/routes/0/limit/cost a request under way is one, whatever it costs'],
    [
      { qps: 5, tiers: { claim: 'plan', of: { gold: { quota: 5 } } } },
      '/routes/0/limit/tiers/of/gold the tier "gold" has to say "qps", as its limit does'
    ],
    [
      [{ qps: 5 }, { quota: 5 }],
      '/routes/0/limit/1 limit[0] has no "name" either; give each further limit one'
    ],
    [
      [
        { name: 'x', qps: 5 },
        { name: 'x', quota: 5 }
      ],
      '/routes/0/limit/1/name the name "x" is taken by limit[0]'
    ]
  ]
  for (const [limit, mistake] of bad) t.same(await mistakes(t, limit), [mistake], JSON.stringify(limit))
})

t.test('an unknown key or value is never taken for something else', async (t) => {
  for (const limit of [
    { qps: 5, by: 'ip' },
    { qps: 5, by: ['subject'] },
    { qps: 0 },
    { qps: 5, burst: 3 },
    [],
    5
  ]) {
    t.not((await mistakes(t, limit)).length, 0, JSON.stringify(limit))
  }
})
