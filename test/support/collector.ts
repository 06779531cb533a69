import { createServer } from 'node:http'
import type { Test } from 'tap'
import { keep } from './evidence.ts'
import { listen } from './upstream.ts'

/** A span as it arrived. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 1 is internal, 2 server, 3 client. */
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code: number }
  readonly attributes: Readonly<Record<string, string | number>>
}

/** A collector of OTLP over HTTP, in JSON. */
export interface Collector {
  readonly endpoint: string
  readonly spans: ReceivedSpan[]
  /** Everything that was sent to it, as text. */
  text(): string
  readonly headers: NodeJS.Dict<string | string[]>[]
  /** What it answers from now on. */
  status: number
}

interface Sent extends Omit<ReceivedSpan, 'attributes'> {
  readonly attributes: readonly {
    readonly key: string
    readonly value: { readonly stringValue?: string; readonly intValue?: number }
  }[]
}

/** Starts a collector on a free loopback port; it ends with the test. */
export async function startCollector(t: Test): Promise<Collector> {
  const texts: string[] = []
  const spans: ReceivedSpan[] = []
  const headers: NodeJS.Dict<string | string[]>[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      headers.push(request.headers)
      if (collector.status === 200) {
        texts.push(text)
        keep(text)
        spans.push(...spansIn(text))
      }
      response.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}')
    })
  })
  const port = await listen(t, server)
  const endpoint = `http://127.0.0.1:${port}/v1/traces`
  const collector: Collector = { endpoint, spans, text: () => texts.join('\n'), headers, status: 200 }
  return collector
}

function spansIn(text: string): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(text) as {
    resourceSpans: { scopeSpans: { spans: Sent[] }[] }[]
  }
  return resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans)
    .flatMap(({ spans }) => spans)
    .map((span) => ({
      ...span,
      attributes: Object.fromEntries(
        span.attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? ''])
      )
    }))
}
