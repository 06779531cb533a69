import t from 'tap'
import type { Sample } from '../../bench/measure.ts'
import { plot } from '../../bench/plot.ts'
import { middle, misses, type Result, ratio, tableOf } from '../../bench/report.ts'
import { scenarios } from '../../bench/scenarios.ts'

const sample = (cpu: number, broken = 0): Sample => ({
  ...{ requests: 1000, rate: 250, p50: 1, p99: 2, refused: 0, broken },
  ...{ cpu, memory: 80, busy: 1 }
})

const result: Result = {
  scenario: { ...scenarios[0]!, targets: { nginx: 2, 'naive Fastify': 0.5, Caddy: 1 } },
  samples: new Map([
    ['nginx', [sample(10), sample(20), sample(12)]],
    ['naive Fastify', [sample(50), sample(100), sample(60)]],
    ['Tollkeeper', [sample(25), sample(44), sample(30, 1)]]
  ])
}

t.test('compares candidates round by round, so that a slow round counts for both', async (t) => {
  t.equal(ratio(result, 'Tollkeeper', 'nginx'), 2.5)
  t.equal(ratio(result, 'Tollkeeper', 'naive Fastify'), 0.5)
  t.equal(ratio(result, 'Tollkeeper', 'Caddy'), undefined, 'nobody measured it')
  t.equal(middle(result.samples.get('Tollkeeper')!).cpu, 30)
})

t.test('names the targets that are missed by more than the slack', async (t) => {
  t.same(misses([result], 0.15), [{ scenario: 'S1', rival: 'nginx', ratio: 2.5, target: 2 }])
  t.same(misses([result], 0.3), [])
})

t.test('shows failed requests in the table, and which targets were met', async (t) => {
  const table = tableOf(result)
  t.match(table, /\| Tollkeeper +\| +30\.0 \| +2\.50 \| +0\.50 \|.* 1 \|\n/)
  t.match(table, 'MISSED: 2.50 x nginx (target 2)')
  t.match(table, 'met: 0.50 x naive Fastify (target 0.5)')
})

t.test('draws a bar for each candidate, the longest for the dearest', async (t) => {
  const svg = plot([result], 'CPU <a run>')
  t.match(svg, 'CPU &lt;a run&gt;')
  const lengths = [...svg.matchAll(/<rect class="(ours|theirs)".* width="([\d.]+)"/g)]
  t.same(
    lengths.map(([, kind]) => kind),
    ['theirs', 'theirs', 'ours']
  )
  t.ok(Number(lengths[1]![2]) > Number(lengths[2]![2]))
})
