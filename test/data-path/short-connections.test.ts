import { connect } from 'node:net'
import t from 'tap'
import { scaled, startOwnProcess } from '../support/own-process.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

/** Connections with one request each. TOLL_LOAD=10 makes it 10,000 twice. */
const total = scaled(1000)
const together = 50

const bodies = ['', 'short', 'x'.repeat(5000), 'y'.repeat(100_000)]

/** Sends one request that says it is the last and resolves with everything up to the end of the connection. */
function askOnce(origin: URL, request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(origin.port), origin.hostname)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(`${error.code} after ${answer}`))
    socket.on('close', () => resolve(answer))
    socket.write(request)
  })
}

for (const closesToo of [false, true]) {
  t.test(
    `a new connection for each request loses no answer, where the service ${closesToo ? 'closes as well' : 'keeps its connections'}`,
    async (t) => {
      let served = 0
      const up = await httpUpstream(t, (request, response) => {
        served += 1
        if (closesToo) response.shouldKeepAlive = false
        let size = 0
        request.on('data', (chunk: Buffer) => {
          size += chunk.length
        })
        request.on('end', () => response.end(`${size} ${bodies[Number(request.url!.slice(1))]}`))
      })
      const gateway = await startOwnProcess(t, configFor([up.url]))
      const origin = new URL(gateway.origin)
      const failed: string[] = []
      let begun = 0
      const worker = async (): Promise<void> => {
        while (begun < total) {
          const index = begun++
          const kind = index % bodies.length
          const body = index % 3 === 0 ? '' : bodies[(index + 1) % bodies.length]!
          const framing = index % 3 === 0 ? '' : `Content-Length: ${body.length}\r\n`
          const method = index % 3 === 0 ? 'GET' : 'POST'
          const answer = await askOnce(
            origin,
            `${method} /${kind} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${framing}\r\n${body}`
          )
          const isGood = answer.startsWith('HTTP/1.1 200 OK\r\n') && /\r\nconnection: close\r\n/i.test(answer)
          if (isGood && bodyOf(answer) === `${body.length} ${bodies[kind]}`) continue
          failed.push(answer.slice(0, 300))
        }
      }
      await Promise.all(Array.from({ length: together }, worker))
      t.same(failed, [], 'no reply failed')
      t.equal(served, total, 'each was served once')
    }
  )
}

function bodyOf(answer: string): string {
  const at = answer.indexOf('\r\n\r\n') + 4
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(answer.slice(0, at))) return answer.slice(at)
  let body = ''
  for (let rest = answer.slice(at); ; ) {
    const line = rest.indexOf('\r\n')
    const size = Number.parseInt(rest.slice(0, line), 16)
    if (!(size > 0)) return body
    body += rest.slice(line + 2, line + 2 + size)
    rest = rest.slice(line + 4 + size)
  }
}
