import { normalize } from 'node:path'
import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { splitAddress } from '../../config/process.ts'
import { toBytes, toMilliseconds } from '../../config/units.ts'
import { hasKafka } from './kafka/installed.ts'
import type { HttpOptions, KafkaOptions, SinkOptions, SyslogOptions } from './slice.ts'

interface Config {
  readonly log: { readonly sinks: readonly SinkOptions[] }
}

/** Tells a mistake or a warning about one key of a sink. */
interface At {
  error(key: string, sentence: string): void
  warning(key: string, sentence: string): void
}

/** Each sink has its name and its file for itself, bounds that make sense, and what it needs to be reached. */
export const sinkOptions: Check = ({ log: { sinks } }: Config, report: Report) => {
  const names = new Set<string>()
  const files = new Map<string, string>()
  for (const [index, sink] of sinks.entries()) {
    const pointer = (key: string) => pointerOf('log', 'sinks', index, ...key.split('.'))
    const at: At = {
      error: (key, sentence) => report.error(pointer(key), sentence),
      warning: (key, sentence) => report.warning(pointer(key), sentence)
    }
    if (names.has(sink.name)) at.error('name', `there is a sink "${sink.name}" already`)
    names.add(sink.name)
    checkBounds(sink, at)
    if (sink.kind === 'file') {
      const path = normalize(sink.path)
      const other = files.get(path)
      if (other !== undefined) at.error('path', `the sink "${other}" writes to this file already`)
      files.set(path, sink.name)
    } else checkTLS(sink, at)
    if (sink.kind === 'kafka') checkKafka(sink, at)
    if (sink.kind === 'http') checkHttp(sink, at)
    if (sink.kind === 'syslog') checkSyslog(sink, at)
  }
}

function checkBounds({ queue, batch, timeout, flush }: SinkOptions, at: At): void {
  const size = toBytes(queue.maxBytes)
  if (size < 16 * 1024 || size > 1024 ** 3) at.error('queue.maxBytes', 'a queue holds 16KiB to 1GiB')
  if (toBytes(batch.maxBytes) < 1024) at.error('batch.maxBytes', 'a batch may be as large as 1KiB at least')
  if (toMilliseconds(batch.linger) > 60_000) at.error('batch.linger', 'a line waits for others 1m at most')
  const limit = toMilliseconds(timeout)
  if (limit < 100 || limit > 300_000) at.error('timeout', 'a batch has 100ms to 5m')
  if (toMilliseconds(flush) > 60_000) at.error('flush', 'the gateway waits 1m at most')
}

function checkTLS({ tls }: Pick<HttpOptions, 'tls'>, at: At): void {
  if (tls === undefined || (tls.cert === undefined) === (tls.key === undefined)) return
  if (tls.key === undefined) at.error('tls.cert', 'a certificate is of no use without its "key"')
  else at.error('tls.key', 'a key is of no use without its "cert"')
}

function checkKafka({ brokers, sasl, tls }: KafkaOptions, at: At): void {
  if (!hasKafka()) {
    at.error('kind', 'the package "kafkajs" is not installed; install it with "npm install kafkajs@2"')
  }
  for (const [index, broker] of brokers.entries()) checkPort(broker, `brokers.${index}`, at)
  if (sasl?.mechanism === 'plain' && tls === undefined) {
    at.warning('sasl.mechanism', '"plain" sends the password as it is, and there is no "tls"')
  }
}

/** Headers that are about the connection and the body, which are not the operator's to say. */
const reserved =
  /^(content-(length|type|encoding)|transfer-encoding|connection|host|expect|te|trailer|upgrade)$/i

function checkHttp({ url, headers, tls }: HttpOptions, at: At): void {
  if (!URL.canParse(url)) {
    at.error('url', 'this is not a URL')
    return
  }
  const { protocol, hostname, username } = new URL(url)
  if (username !== '') at.error('url', 'credentials go into "headers", not into the URL')
  for (const name of Object.keys(headers)) {
    if (reserved.test(name)) at.error(`headers.${name}`, `the gateway sets "${name}" itself`)
  }
  if (protocol === 'https:') return
  if (tls !== undefined) at.error('tls', 'the URL begins with http://, so there is no TLS')
  if (!/^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname)) {
    at.warning('url', 'lines and headers go there unencrypted')
  }
}

function checkSyslog({ address, transport, tls }: SyslogOptions, at: At): void {
  checkPort(address, 'address', at)
  if (tls !== undefined && transport !== 'tls') at.error('tls', 'this is for the transport "tls"')
}

function checkPort(address: string, key: string, at: At): void {
  const { port } = splitAddress(address)
  if (port < 1 || port > 65_535) at.error(key, 'a port is a number from 1 to 65535')
}
