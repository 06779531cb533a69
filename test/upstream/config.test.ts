import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { ConfigError } from '../../config/mistake.ts'
import { configFor } from '../support/upstream.ts'

/** The sentences a service is refused with. */
async function mistakes(t: Test, nodes: readonly unknown[], service: object): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'gateway.config.json')
  writeFileSync(path, JSON.stringify(configFor(nodes as string[], { service })))
  try {
    await loadGatewayConfig(path)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.mistakes.map(({ sentence }) => sentence)
  }
}

t.test('an id stands for one node', async (t) => {
  const nodes = [
    { url: 'http://a', id: 'n' },
    { url: 'http://b', id: 'n' }
  ]
  t.match(await mistakes(t, nodes, {}), [/^the id "n" is taken by nodes\[0\] of "up"$/])
})

t.test('everything that a service may say about its nodes', async (t) => {
  const service = {
    balance: { by: 'cookie:cart', otherwise: 'p2c', maxLoad: 150 },
    health: { failures: 5, serverErrors: true, active: { type: 'tcp', interval: '1s' } },
    breaker: { share: 50, window: '5s', trials: 3 },
    retry: { attempts: 2, statuses: [502, 503], budget: 10, minimum: 1 },
    dns: { servers: ['127.0.0.1:5353', '[::1]:53', '10.0.0.2'], family: 'both' }
  }
  t.same(await mistakes(t, [{ id: 'a', url: 'http://a', srv: '_http._tcp.a.example' }], service), [])
})

t.test('what makes no sense is refused in a sentence', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ balance: 'fastest' }, /balance must be/],
    [{ balance: { by: 'header:' } }, /balance\.by/],
    [{ balance: { by: 'query:x' } }, /balance\.by/],
    [{ retry: { statuses: [200] } }, /retry\.statuses\[0\] must be at least 400/],
    [{ retry: { attempts: 6 } }, /retry\.attempts/],
    [{ breaker: { failure: 5 } }, /unknown key "failure"/],
    [{ health: { active: { status: '2xx' } } }, /health\.active\.status/],
    [{ health: { maxEjected: 101 } }, /health\.maxEjected/],
    [{ dns: { servers: ['ns.example'] } }, /dns\.servers\[0\]/]
  ]
  for (const [service, sentence] of wrong) {
    const said = await mistakes(t, ['http://a'], service)
    t.equal(said.length, 1, JSON.stringify(service))
    t.match(said[0], sentence)
  }
})
