import type { FastifyRequest } from 'fastify'
import { toBytes, toWait } from '../../config/units.ts'
import type { MirrorOptions } from '../../services/release/slice.ts'
import type { Metrics } from '../../services/telemetry/metrics.ts'
import type { AnswerSink, Failure, Outgoing, Sent } from '../../services/transport/transport.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, PoolRequest } from '../../services/upstream/pool.ts'
import { balanceKey } from './balance-key.ts'
import { BodyCopy, hasBody, keptBody } from './kept-body.ts'
import type { Plan } from './plan.ts'
import { pendingUpgrade } from './upgrade.ts'

/** Tells a service that nobody waits for its answer. No client can send it, where any route mirrors. */
export const mirrorHeader = 'x-mirrored'

/** Most bytes of an answer that are read for the sake of the connection; of a longer one it is cut. */
const worthReading = 1024 * 1024

/**
 * Sends copies of a route's requests to a second service. Nothing of it touches the requests themselves: each copy goes its own way once
 * its request is sent, and one too many is dropped.
 */
export class Mirror {
  readonly service: string
  readonly percent: number
  readonly #plan: Plan
  readonly #methods: ReadonlySet<string>
  readonly #maxBody: number
  readonly #concurrency: number
  readonly #timeout: number
  readonly #count: Metrics['mirrors']
  #running = 0

  /** `plan` is the route's, for the service that gets the copies. */
  constructor(plan: Plan, options: MirrorOptions, count: Metrics['mirrors']) {
    this.service = options.service
    this.percent = options.percent
    this.#plan = plan
    this.#methods = new Set(options.methods)
    this.#maxBody = toBytes(options.maxBody)
    this.#concurrency = options.concurrency
    this.#timeout = toWait(options.timeout)
    this.#count = count
  }

  takes(method: string | undefined): boolean {
    return this.#methods.has(method ?? '')
  }

  /** Copies a request if it is its turn. It has to be asked before anybody reads the request's body. */
  copy(request: FastifyRequest): void {
    const { raw } = request
    if (!this.takes(raw.method) || Math.random() * 100 >= this.percent) return
    if (pendingUpgrade(raw) !== undefined) return
    if (Number(raw.headers['content-length'] ?? 0) > this.#maxBody) {
      this.#note('body_size')
      return
    }
    if (this.#running >= this.#concurrency) {
      this.#note('busy')
      return
    }
    this.#running += 1
    const copy = new Copy(request, this.#plan, this.#timeout, (outcome) => {
      this.#running -= 1
      if (outcome !== undefined) this.#note(outcome)
    })
    if (hasBody(raw)) copy.collect(this.#maxBody)
    // The request itself goes first.
    else setImmediate(copy.send)
  }

  #note(outcome: string): void {
    this.#count.inc({ route: this.#plan.route.id, outcome })
  }
}

/** One request that is sent for nobody. */
class Copy implements PoolRequest, AnswerSink {
  readonly #request: FastifyRequest
  readonly #plan: Plan
  readonly #timeout: number
  readonly #onOver: (outcome: string | undefined) => void
  #body: BodyCopy | undefined
  #headers = ''
  #path = ''
  #sent: Sent | undefined
  #deadline: NodeJS.Timeout | undefined
  #status = 0
  #size = 0
  #isOver = false

  constructor(
    request: FastifyRequest,
    plan: Plan,
    timeout: number,
    onOver: (outcome: string | undefined) => void
  ) {
    this.#request = request
    this.#plan = plan
    this.#timeout = timeout
    this.#onOver = onOver
  }

  /** Waits for the whole body, up to a size. */
  collect(maxBody: number): void {
    const { raw } = this.#request
    this.#body = new BodyCopy(raw, maxBody, () => this.#finish('body_size'))
    raw.once('end', this.send)
    raw.once('close', () => {
      if (!raw.readableEnded) this.#finish('client_left')
    })
  }

  /** A property, to be handed to whoever calls it later. */
  readonly send = (): void => {
    if (this.#isOver) return
    this.#body?.stop()
    const { raw, exchange, id } = this.#request
    const path = this.#plan.route.rewrite.forward(exchange.path)
    // What was refused meanwhile reached no service, and is not for this one either.
    if (path === undefined || exchange.verdict !== 'allowed') {
      this.#finish(undefined)
      return
    }
    this.#deadline = setTimeout(() => {
      this.#sent?.cancel()
      this.#finish('timeout')
    }, this.#timeout).unref()
    try {
      this.#path = path
      this.#headers = this.#plan.headers.write(raw, exchange, id, this.#plan.rules)
      const sent = this.#plan.pool.send(this, this)
      if (this.#isOver) sent.cancel()
      this.#sent = sent
    } catch {
      // Nobody waits for it, and nothing else may suffer from it.
      this.#finish('failed')
    }
  }

  outgoingFor(node: UpstreamNode): Outgoing {
    const { raw, exchange } = this.#request
    const { route, timeouts } = this.#plan
    const chunks = this.#body?.chunks
    return {
      method: raw.method ?? 'GET',
      path: node.base + this.#path + exchange.query,
      host: route.preserveHost && exchange.authority !== '' ? exchange.authority : node.authority,
      headers: `${this.#headers}X-Mirrored: ${route.id}\r\n`,
      body: chunks && keptBody(chunks),
      length: chunks?.reduce((sum, { length }) => sum + length, 0),
      maxBody: route.maxBody.bytes,
      timeouts
    }
  }

  balanceKey(source: KeySource): string | undefined {
    return balanceKey(source, this.#request)
  }

  onNode(): void {}

  onWhole(status: number): void {
    this.#status = status
    this.onEnd()
  }

  onHead(status: number): void {
    this.#status = status
  }

  onData(chunk: Buffer): boolean {
    this.#size += chunk.length
    if (this.#size > worthReading) {
      this.#sent?.cancel()
      this.#finish(`${Math.floor(this.#status / 100)}xx`)
    }
    return true
  }

  onFlush(): void {}

  onEnd(): void {
    this.#finish(`${Math.floor(this.#status / 100)}xx`)
  }

  onFailure({ kind }: Failure): void {
    this.#finish(kind === 'timeout' ? 'timeout' : 'failed')
  }

  /** Counts it, once; without an outcome it never was a copy. */
  #finish(outcome: string | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#deadline)
    this.#body?.stop()
    this.#onOver(outcome)
  }
}
