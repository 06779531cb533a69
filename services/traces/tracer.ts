import type { Context, Span, SpanContext, Tracer } from '@opentelemetry/api'
import type { Services } from '../services.ts'
import type { TracesOptions } from './slice.ts'

/** Milliseconds that the collector may take for one batch, and that the end of the gateway waits for the last one. */
const patience = 5000
/** Spans that wait to be sent, at most; further ones are dropped. */
const maxWaiting = 4096
/** Characters of an attribute, at most. */
const maxText = 1024

/** Makes spans and sends them. */
export interface Traces {
  readonly tracer: Tracer
  /** The context in which spans are children of this one. */
  under(parent: SpanContext): Context
  /** The context of spans that are nobody's children. */
  readonly root: Context
  close(): Promise<void>
}

/** Told when spans stop arriving, and when they arrive again. */
export interface TracesEvents {
  onLost(): void
  onReturn(): void
}

/** What of a request's trace is known to whoever adds to it. */
export interface Traced {
  readonly server: Span
  client: Span | undefined
}

/** The same traces before and after a reload, unless what the config says of them has changed. Loads what it needs here. */
export const openTraces = (
  services: Pick<Services, 'shared'>,
  options: TracesOptions,
  events: TracesEvents
): Promise<Traces> =>
  services.shared(
    `traces:${JSON.stringify(options)}`,
    () => load(options, events),
    async (opening) => (await opening.catch(() => undefined))?.close()
  )

async function load(
  { endpoint, sample, headers, serviceName }: TracesOptions,
  { onLost, onReturn }: TracesEvents
): Promise<Traces> {
  const [{ ROOT_CONTEXT, trace }, { resourceFromAttributes }, sdk, { OTLPTraceExporter }] = await Promise.all(
    [
      import('@opentelemetry/api'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/exporter-trace-otlp-http')
    ]
  )
  const exporter = new OTLPTraceExporter({ url: endpoint, headers, timeoutMillis: patience })
  const send = exporter.export.bind(exporter)
  let isLost = false
  // Its errors have addresses in them: only that there was one is told.
  exporter.export = (spans, done) =>
    send(spans, (result) => {
      const failed = result.code !== 0
      if (failed !== isLost) (failed ? onLost : onReturn)()
      isLost = failed
      done(failed ? { code: result.code } : result)
    })
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': serviceName }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(sample) }),
    spanLimits: { attributeValueLengthLimit: maxText, attributeCountLimit: 32 },
    spanProcessors: [
      new sdk.BatchSpanProcessor(exporter, {
        maxQueueSize: maxWaiting,
        scheduledDelayMillis: 1000,
        exportTimeoutMillis: patience
      })
    ]
  })
  return {
    tracer: provider.getTracer('tollkeeper'),
    root: ROOT_CONTEXT,
    under: (parent) => trace.setSpanContext(ROOT_CONTEXT, parent),
    close: () => Promise.race([provider.shutdown().catch(() => {}), late(patience)])
  }
}

const late = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref()
  })
