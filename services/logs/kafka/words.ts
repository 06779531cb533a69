import { DeliveryError, deliveryError } from '../delivery.ts'

/** A failure of the Kafka client as one of ours: its own words name addresses. */
export function kafkaError(thrown: unknown): DeliveryError {
  const errors = chainOf(thrown)
  for (const { type, name } of errors) {
    if (type !== undefined && tooLarge.has(type))
      return new DeliveryError('a message is too large', { retry: 'too large' })
    if (type !== undefined && types[type] !== undefined) return new DeliveryError(types[type])
    if (name !== undefined && names[name] !== undefined) return new DeliveryError(names[name])
  }
  for (const error of errors) {
    const told = deliveryError(error)
    if (told.message !== 'it failed') return told
    // The client keeps the code of a lost connection in its sentence only.
    const code = /\b(E[A-Z]{4,})\b/.exec(error.message ?? '')?.[1]
    const meant = code === undefined ? undefined : deliveryError({ code })
    if (meant !== undefined && meant.message !== 'it failed') return meant
  }
  return new DeliveryError('no broker answers as it should')
}

interface Told {
  readonly type?: string
  readonly name?: string
  readonly message?: string
  readonly cause?: unknown
}

/** The failure and what it came from, the innermost first. */
function chainOf(thrown: unknown): Told[] {
  const chain: Told[] = []
  for (let at = thrown; typeof at === 'object' && at !== null && chain.length < 10; ) {
    chain.unshift(at as Told)
    at = (at as Told).cause
  }
  return chain
}

const tooLarge = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'])

/** Errors of the protocol, by the client's names. */
const types: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'there is no such topic',
  TOPIC_AUTHORIZATION_FAILED: 'this user may not write to the topic',
  CLUSTER_AUTHORIZATION_FAILED: 'this user may not write to the cluster',
  SASL_AUTHENTICATION_FAILED: 'it does not take these credentials',
  UNSUPPORTED_SASL_MECHANISM: 'it does not take this mechanism',
  NOT_ENOUGH_REPLICAS: 'too few replicas are in sync',
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'too few replicas are in sync',
  LEADER_NOT_AVAILABLE: 'a partition has no leader',
  NOT_LEADER_FOR_PARTITION: 'a partition has another leader'
}

const names: Readonly<Record<string, string>> = {
  KafkaJSSASLAuthenticationError: 'it does not take these credentials',
  KafkaJSRequestTimeoutError: 'it took too long'
}
