import type { KafkaConfig, logCreator, Producer, SASLOptions } from 'kafkajs'
import { toWait } from '../../../config/units.ts'
import type { SinkLog, SinkPlace } from '../open.ts'
import type { KafkaOptions } from '../slice.ts'
import { readTLS } from '../tls.ts'
import { kafkaError } from './words.ts'

/** Makes a producer and connects it; rejects with the client's error, and leaves nothing open then. */
export async function openProducer(options: KafkaOptions, { directory, log }: SinkPlace): Promise<Producer> {
  const { brokers, clientId, tls, sasl, timeouts, name } = options
  const { default: kafkajs } = await import('kafkajs')
  const config: KafkaConfig = {
    clientId,
    brokers: [...brokers],
    ssl: tls === undefined ? false : await readTLS(tls, directory),
    ...(sasl !== undefined && { sasl: { ...sasl } as SASLOptions }),
    connectionTimeout: toWait(timeouts.connect),
    authenticationTimeout: toWait(timeouts.connect),
    requestTimeout: toWait(timeouts.request),
    enforceRequestTimeout: true,
    // Whoever sends tries again, with pauses of its own; once more is for what a look at the new leaders mends.
    retry: { retries: 1, initialRetryTime: 100, maxRetryTime: 1000 },
    logLevel: kafkajs.logLevel.WARN,
    logCreator: quietly(log, name)
  }
  const producer = new kafkajs.Kafka(config).producer({
    allowAutoTopicCreation: true,
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner
  })
  try {
    await producer.connect()
    return producer
  } catch (error) {
    producer.disconnect().catch(() => {})
    throw error
  }
}

/** The client's own log as ours at level debug: which of its parts, and why in our words. Its sentences name addresses and users. */
const quietly =
  (log: SinkLog, sink: string): logCreator =>
  () =>
  ({ namespace, label, log: { message, error } }) => {
    const part = /^[A-Za-z]{1,40}$/.test(namespace) ? namespace : '-'
    const why = kafkaError({ message: `${message} ${String(error ?? '')}` }).message
    log.debug({ sink, part, severity: label.toLowerCase(), why }, 'the Kafka client complains')
  }
