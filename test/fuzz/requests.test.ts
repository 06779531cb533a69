import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { transports } from '../support/transports.ts'
import { configFor, httpUpstream, RawClient } from '../support/upstream.ts'
import { Random } from './random.ts'
import { madeRequest, type RequestCase } from './request-grammar.ts'

const seed = Number(process.env.TOLL_SEED ?? Date.now() % 1_000_000_007)

/** What a node saw of a request. */
interface Seen {
  readonly line: string
  /** Flat, as received. */
  readonly headers: readonly string[]
  readonly body: string
}

/** Differ from request to request. */
const own = new Set(['x-request-id', 'traceparent'])

/** Of no concern to anybody but this connection, and to us, and of no client's business. */
const never = new Set([
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'trailer',
  'upgrade',
  'expect',
  'x_user_id',
  'x-user-id'
])

t.test(
  `a node gets the same of a client whatever the transport, and nothing that is not for it (seed ${seed})`,
  async (t) => {
    const seen: Seen[] = []
    const up = await httpUpstream(t, (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString('latin1')
        seen.push({ line: `${request.method} ${request.url}`, headers: request.rawHeaders, body })
        response.end()
      })
    })
    const origins: string[] = []
    for (const transport of transports) {
      const { origin } = await startGateway(t, configFor([up.url], { service: { transport } }))
      origins.push(origin)
    }
    const random = new Random(seed)
    const deadline = performance.now() + 5000
    let count = 0
    let served = 0
    while (performance.now() < deadline) {
      count += 1
      const one = madeRequest(random, `/${count}`)
      const outcomes: string[] = []
      for (const origin of origins) {
        seen.length = 0
        const status = await send(origin, one)
        // None is sent twice, and what is answered with 200 was seen.
        if (seen.length !== (status === '200' ? 1 : 0))
          t.fail(`${shown(one)}: ${status}, seen ${seen.length} times`)
        const wrong = seen[0] === undefined ? undefined : complaintAbout(one, seen[0])
        if (wrong !== undefined) t.fail(`${shown(one)}: ${wrong}`)
        outcomes.push(
          JSON.stringify([status, seen[0]?.line, seen[0] && withoutOwn(seen[0].headers), seen[0]?.body])
        )
        if (status === '200') served += 1
      }
      const other = outcomes.find((outcome) => outcome !== outcomes[0])
      if (other !== undefined) t.fail(`${shown(one)}\n  ${outcomes[0]}\n  ${other}`)
      if (!t.passing()) break
    }
    t.ok(served > count / 2, `${served} of ${count * transports.length} were served`)
  }
)

const shown = ({ head, body }: RequestCase): string =>
  `${JSON.stringify(head.slice(0, 1000))} with ${body.length} bytes`

/** Sends the request in its pieces and resolves with the status of the last answer. */
async function send(origin: string, one: RequestCase): Promise<string> {
  const client = new RawClient(origin).write(one.head)
  for (const piece of one.pieces) {
    client.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
  }
  try {
    const received = await client.ended(10_000)
    return [...received.matchAll(/^HTTP\/1\.1 ([0-9]{3})/gm)].at(-1)?.[1] ?? 'none'
  } finally {
    client.close()
  }
}

const withoutOwn = (flat: readonly string[]): string[] =>
  flat.filter((_, index) => !own.has(flat[index - (index % 2)]!.toLowerCase()))

function complaintAbout(
  { method, head, body }: RequestCase,
  { line, headers, body: got }: Seen
): string | undefined {
  if (!line.startsWith(`${method} /`)) return `the method became ${line}`
  if (got !== body) return `the body has ${got.length} bytes, ${JSON.stringify(got.slice(0, 100))}`
  const names = headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
  const connection = [...head.matchAll(/^connection: (.*)\r$/gim)].flatMap(([, value]) =>
    value!.toLowerCase().split(',')
  )
  const named = connection.map((name) => name.trim()).filter((name) => name !== 'close' && name !== 'te')
  const bad = names.find((name) => never.has(name) || named.includes(name))
  if (bad !== undefined) return `it has "${bad}"`
  const times = (name: string): number => names.filter((other) => other === name).length
  if (times('host') !== 1) return `${times('host')} Host headers`
  if (times('content-length') + times('transfer-encoding') > 1) return 'its length is said twice'
  return undefined
}
