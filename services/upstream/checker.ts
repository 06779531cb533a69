import { request } from 'node:http'
import { longestWait } from '../../config/units.ts'
import { openSocket } from '../transport/connection.ts'
import type { UpstreamNode } from './node.ts'

/** How nodes are asked regularly how they are. All times in milliseconds. */
export interface CheckSettings {
  readonly type: 'http' | 'tcp'
  readonly method: string
  readonly path: string
  /** First and last status of a good answer. */
  readonly statuses: readonly [number, number]
  readonly interval: number
  /** How much the interval varies, 0 to 1. */
  readonly jitter: number
  readonly timeout: number
  readonly unhealthyAfter: number
  readonly healthyAfter: number
}

/** Asks one node again and again how it is, over connections of its own. It counts as healthy until it was found otherwise. */
export class Checker {
  readonly #node: UpstreamNode
  readonly #settings: CheckSettings
  #timer: NodeJS.Timeout
  #abandon: (() => void) | undefined
  #isFailing = false
  /** Checks in a row that said the opposite of what holds. */
  #against = 0
  #isStopped = false

  constructor(node: UpstreamNode, settings: CheckSettings) {
    this.#node = node
    this.#settings = settings
    // Spread over the first interval: a thousand nodes are not asked at once.
    this.#timer = setTimeout(this.#check, Math.random() * settings.interval).unref()
  }

  /** Forgets what was found as well. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#abandon?.()
    this.#node.standing.noteChecks(false)
  }

  readonly #check = (): void => {
    const { timeout, type } = this.#settings
    let isOver = false
    const finish = (isGood: boolean): void => {
      if (isOver) return
      isOver = true
      clearTimeout(patience)
      this.#abandon = undefined
      close()
      this.#take(isGood)
    }
    const close = type === 'tcp' ? this.#connect(finish) : this.#ask(finish)
    const patience = setTimeout(() => finish(false), timeout).unref()
    this.#abandon = () => {
      isOver = true
      clearTimeout(patience)
      close()
    }
  }

  #connect(finish: (isGood: boolean) => void): () => void {
    const socket = openSocket(this.#node.endpoint, () => finish(true))
    socket.on('error', () => finish(false))
    return () => socket.destroy()
  }

  #ask(finish: (isGood: boolean) => void): () => void {
    const { endpoint, base, authority } = this.#node
    const { method, path, statuses } = this.#settings
    const asked = request({
      method,
      path: base + path,
      headers: { host: authority, 'user-agent': 'tollkeeper', connection: 'close' },
      createConnection: () => openSocket(endpoint, () => {})
    })
    asked.on('response', ({ statusCode = 0 }) => {
      finish(statusCode >= statuses[0] && statusCode <= statuses[1])
    })
    asked.on('upgrade', (_response, socket) => {
      socket.destroy()
      finish(false)
    })
    asked.on('error', () => finish(false))
    asked.end()
    return () => asked.destroy()
  }

  #take(isGood: boolean): void {
    if (this.#isStopped) return
    const { interval, jitter, unhealthyAfter, healthyAfter } = this.#settings
    const wait = Math.min(longestWait, interval * (1 + jitter * (Math.random() - 0.5)))
    this.#timer = setTimeout(this.#check, wait).unref()
    this.#against = isGood === this.#isFailing ? this.#against + 1 : 0
    if (this.#against < (this.#isFailing ? healthyAfter : unhealthyAfter)) return
    this.#against = 0
    this.#isFailing = !isGood
    this.#node.standing.noteChecks(this.#isFailing)
  }
}
