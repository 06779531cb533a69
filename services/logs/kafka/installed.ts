import { createRequire } from 'node:module'

/** Whether the Kafka client is installed beside the gateway: it is no dependency of its own. */
export function hasKafka(): boolean {
  try {
    createRequire(import.meta.url).resolve('kafkajs')
    return true
  } catch {
    return false
  }
}
