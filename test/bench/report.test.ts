import t from 'tap'
import type { Sample } from '../../bench/measure.ts'
import { plot } from '../../bench/plot.ts'
import { findings, middle, misses, type Result, ratio, tableOf } from '../../bench/report.ts'
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
  const failed = { scenario: 'S1', what: 'failed requests', found: 1, target: 0 }
  t.same(misses([result], 0.15), [{ scenario: 'S1', what: 'x nginx', found: 2.5, target: 2 }, failed])
  t.same(misses([result], 0.3), [failed])
})

t.test("holds ours to its memory, to a rival's slowest answers and to its own cost elsewhere", async (t) => {
  const other: Result = {
    scenario: {
      ...scenarios[0]!,
      id: 'S6',
      targets: {},
      bounds: { memory: 70, p99: { nginx: 0.5, Caddy: 0.1 }, own: { S1: 1.1, S9: 1 } }
    },
    samples: new Map([
      ['nginx', [sample(10)]],
      ['Tollkeeper', [sample(36)]]
    ])
  }
  t.same(
    findings(other, [result, other]).map(({ what, found, target }) => [what, found, target]),
    [
      ["x nginx's p99", 1, 0.5],
      ['x our own S1', 1.2, 1.1],
      ['MiB resident', 80, 70],
      ['failed requests', 0, 0]
    ],
    'what was not measured promises nothing'
  )
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
