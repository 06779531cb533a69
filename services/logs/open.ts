import { toBytes, toWait } from '../../config/units.ts'
import type { Services } from '../services.ts'
import type { Delivery } from './delivery.ts'
import { type FigureBook, figuresOf } from './figures.ts'
import { FileDelivery } from './file/file.ts'
import { HttpDelivery } from './http/http.ts'
import { KafkaDelivery } from './kafka/kafka.ts'
import { Sink } from './sink.ts'
import type { SinkOptions } from './slice.ts'
import { SyslogDelivery } from './syslog/syslog.ts'

/** The gateway's own messages as finished JSON lines, told to whoever listens. */
export interface Messages {
  add(listener: (line: string) => void): void
  delete(listener: (line: string) => void): void
}

/** What is told of sinks. */
export interface SinkLog {
  info(facts: object, sentence: string): void
  warn(facts: object, sentence: string): void
  debug(facts: object, sentence: string): void
}

export interface SinkPlace {
  readonly directory: string
  readonly log: SinkLog
}

/**
 * The sinks of one config. One that a config before had with the same settings is the same sink, with what it has queued; one that is
 * in no config any more hands over what it has and is closed.
 */
export function openSinks(
  options: readonly SinkOptions[],
  { directory, shared }: Pick<Services, 'directory' | 'shared'>,
  { log, messages }: { readonly log: SinkLog; readonly messages?: Messages | undefined }
): readonly Sink[] {
  const book = shared<FigureBook>('log figures', () => new Map())
  return options.map((option) => {
    const opened = shared(
      `log sink ${JSON.stringify([directory, option])}`,
      () => {
        const sink = sinkOf(option, { directory, log }, book)
        const listener = (line: string): void => sink.offer(line)
        if (option.messages) messages?.add(listener)
        return { sink, listener }
      },
      async ({ sink, listener }) => {
        messages?.delete(listener)
        const dropped = await sink.close()
        if (dropped > 0) log.warn({ sink: sink.name, dropped }, 'a log sink did not take its last lines')
      }
    )
    return opened.sink
  })
}

function sinkOf(option: SinkOptions, place: SinkPlace, book: FigureBook): Sink {
  const { name, kind, sample, queue, batch, timeout, flush } = option
  const maxBytes = toBytes(queue.maxBytes)
  const terms = {
    ...{ name, kind, sample, maxBytes },
    batch: {
      maxLines: batch.maxLines,
      // Where the queue is small, there has to be room for what comes while a batch is on its way.
      maxBytes: Math.min(toBytes(batch.maxBytes), maxBytes / 4),
      linger: toWait(batch.linger)
    },
    timeout: toWait(timeout),
    flush: toWait(flush)
  }
  return new Sink(terms, deliveryTo(option, place), {
    figures: figuresOf(book, name),
    onChange: ({ state, queued, figures }, why) => {
      const facts = { sink: name, kind, queued, dropped: figures.dropped }
      if (state === 'down') place.log.warn({ ...facts, why }, 'a log sink takes no lines; they wait')
      else place.log.info(facts, 'a log sink takes lines again')
    }
  })
}

function deliveryTo(option: SinkOptions, place: SinkPlace): Delivery {
  switch (option.kind) {
    case 'file':
      return new FileDelivery(option, place.directory)
    case 'kafka':
      return new KafkaDelivery(option, place)
    case 'http':
      return new HttpDelivery(option, place.directory)
    case 'syslog':
      return new SyslogDelivery(option, place.directory)
  }
}
