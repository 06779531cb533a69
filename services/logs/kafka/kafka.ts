import type { Producer } from 'kafkajs'
import { toWait } from '../../../config/units.ts'
import type { Delivery } from '../delivery.ts'
import type { Line } from '../line-queue.ts'
import type { SinkPlace } from '../open.ts'
import type { KafkaOptions } from '../slice.ts'
import { openProducer } from './producer.ts'
import { kafkaError } from './words.ts'

/** Sends lines as messages to a topic. After a failure it begins anew with a fresh connection, which finds new brokers by itself. */
export class KafkaDelivery implements Delivery {
  readonly #options: KafkaOptions
  readonly #place: SinkPlace
  #producer: Promise<Producer> | undefined

  constructor(options: KafkaOptions, place: SinkPlace) {
    this.#options = options
    this.#place = place
  }

  async deliver(batch: readonly Line[], signal: AbortSignal): Promise<void> {
    const { topic, acks, compression, key, timeouts } = this.#options
    const { default: kafkajs } = await import('kafkajs')
    const { GZIP, None } = kafkajs.CompressionTypes
    // What waits for a broker that says nothing is not waited for any longer than the batch.
    const giveUp = (): void => this.#leave()
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      this.#producer ??= openProducer(this.#options, this.#place)
      const producer = await this.#producer
      signal.throwIfAborted()
      await producer.send({
        topic,
        acks,
        timeout: toWait(timeouts.request),
        compression: compression === 'gzip' ? GZIP : None,
        messages: batch.map(({ text }) => ({ key: keyOf(text, key), value: text }))
      })
    } catch (thrown) {
      const error = kafkaError(thrown)
      if (error.retry === 'again') this.#leave()
      throw error
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  async close(): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await (await producer?.catch(() => undefined))?.disconnect()
  }

  /** Whoever does not answer need not say good-bye. */
  #leave(): void {
    this.close().catch(() => {})
  }
}

/** The key of a message; null for a line that has none. */
function keyOf(text: string, key: KafkaOptions['key']): string | null {
  if (key === 'none') return null
  const value = (JSON.parse(text) as Readonly<Record<string, unknown>>)[key]
  return typeof value === 'string' ? value : null
}
