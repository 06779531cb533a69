import { connect, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTLS } from 'node:tls'
import { Alarm } from './alarm.ts'
import { BrokenAnswer } from './answer-head.ts'
import { AnswerParser } from './answer-parser.ts'

/** Where a node is, and how its certificate is checked. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly tls: TLSOptions | undefined
}

export interface TLSOptions {
  /** False switches the check of the certificate off: for development only. */
  readonly verify: boolean
  /** PEM; undefined takes the system's. */
  readonly ca: string | undefined
  readonly servername: string | undefined
}

/** What uses a connection for one exchange. */
export interface Job {
  /** A small answer, all at once, in place of the three that follow; `body` is latin1, one character a byte. */
  onWhole(status: number, reason: string, headers: string[], body: string): void
  onHead(status: number, reason: string, headers: string[]): void
  onData(chunk: Buffer): boolean
  onFlush(): void
  onEnd(trailers: string[]): void
  /** The time set by `wait` is over. */
  onDue(): void
  /** The connection is gone; `reason` is snake_case. */
  onBroken(reason: string, cause?: unknown): void
}

/** How long a node is listened to whose connection takes no more. */
const hearing = 100

/** One connection to a node. It serves one job at a time and is dropped at the first doubt. */
export class Connection {
  readonly socket: Socket
  readonly #onIdle: (connection: Connection) => void
  readonly #onClosed: (connection: Connection) => void
  readonly #parser: AnswerParser
  #job: Job | undefined
  readonly #alarm = new Alarm(() => this.#job?.onDue())
  readonly #isEncrypted: boolean
  #isReusable = true
  #isPaused = false
  isOpen = false
  isDead = false
  /** Exchanges begun on it. */
  uses = 0
  /** When it came back to the pool, and how long the node will keep it. */
  idleSince = 0
  idleLimit = 4000

  constructor(
    endpoint: Endpoint,
    buffer: Buffer,
    onOpen: (connection: Connection) => void,
    onIdle: (connection: Connection) => void,
    onClosed: (connection: Connection, cause?: unknown) => void
  ) {
    this.#onIdle = onIdle
    this.#isEncrypted = endpoint.tls !== undefined
    let cause: unknown
    this.#onClosed = (connection) => onClosed(connection, cause)
    this.#parser = new AnswerParser({
      onWhole: (status, reason, headers, body) => {
        this.#noteIdleLimit()
        const job = this.#leaveJob()
        job?.onWhole(status, reason, headers, body)
        this.#settle()
      },
      onHead: (status, reason, headers) => {
        this.#noteIdleLimit()
        this.#job?.onHead(status, reason, headers)
      },
      onBody: (chunk) => {
        if (this.#job?.onData(chunk) === false) this.#pause()
      },
      onEnd: (trailers) => this.#end(trailers)
    })
    const opened = (): void => {
      this.isOpen = true
      // Whoever waits for an answer has a connection of their own that keeps the process; one in the pool does not.
      this.socket.unref()
      onOpen(this)
    }
    this.socket = openSocket(endpoint, opened, {
      onread: {
        buffer,
        callback: (size) => {
          this.#read(buffer, size)
          return true
        }
      }
    })
    this.#hearOut()
    this.socket.setNoDelay(true)
    // A TLS socket does not take `onread`.
    if (endpoint.tls !== undefined) this.socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.socket.on('end', () => this.#finish())
    this.socket.on('error', (error) => {
      cause = error
      this.#fail(this.#parser.isWithin ? 'truncated' : 'reset', error)
    })
    this.socket.on('close', () => this.#fail(this.#parser.isWithin ? 'truncated' : 'closed', cause))
  }

  /** Takes the connection for one exchange; the caller writes the request. */
  begin(job: Job, method: string): void {
    this.#job = job
    this.uses += 1
    this.#parser.begin(method)
  }

  /** Calls the job's `onDue` in so many milliseconds, unless it waits for something else by then; 0 for never. */
  wait(milliseconds: number): void {
    this.#alarm.set(milliseconds)
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    if (!this.isDead) this.socket.resume()
  }

  #pause(): void {
    this.#isPaused = true
    this.socket.pause()
  }

  /** Ends the connection now; its job hears nothing of it. */
  drop(): void {
    this.#job = undefined
    this.#fail('dropped')
  }

  /**
   * A node that answers before it has read everything (413) may reset the connection under our write. What it said is still there to be read,
   * so the first failed write does not end the socket at once.
   */
  #hearOut(): void {
    const { socket } = this
    const destroy = socket.destroy.bind(socket)
    let isHearing = false
    socket.destroy = (error?: NodeJS.ErrnoException) => {
      if (isHearing || this.isDead || this.#job === undefined || error?.syscall !== 'write')
        return destroy(error)
      isHearing = true
      setTimeout(() => destroy(error), hearing).unref()
      return socket
    }
  }

  #read(buffer: Buffer, size?: number): void {
    const job = this.#job
    try {
      this.#parser.execute(buffer, size)
    } catch (error) {
      this.#fail(error instanceof BrokenAnswer ? error.code : 'reader', error)
      return
    }
    if (this.#job !== undefined && this.#job === job) job.onFlush()
  }

  #finish(): void {
    try {
      this.#isReusable = false
      this.#parser.finish()
      this.#fail('closed')
    } catch (error) {
      this.#fail(error instanceof BrokenAnswer ? error.code : 'reader', error)
    }
  }

  #end(trailers: string[]): void {
    const job = this.#leaveJob()
    job?.onEnd(trailers)
    this.#settle()
  }

  /** The answer is in: what comes next on this connection is nothing of the job's. */
  #leaveJob(): Job | undefined {
    const job = this.#job
    this.#job = undefined
    if (!this.#parser.isReusable) this.#isReusable = false
    return job
  }

  /** Back to the pool, or out of use. */
  #settle(): void {
    if (this.isDead) return
    if (!this.#isReusable) {
      this.#fail('not_reusable')
      return
    }
    this.#alarm.clear()
    // A client that stopped reading may have left the socket paused; in the pool it has to notice the node's close.
    this.resume()
    // TLS hands on record by record: what came behind the answer, and ends the connection, is heard of within this turn.
    if (this.#isEncrypted) setImmediate(this.#giveBack)
    else this.#onIdle(this)
  }

  readonly #giveBack = (): void => {
    if (!this.isDead) this.#onIdle(this)
  }

  /** The request was not sent to its end, so nothing can follow it on this connection. */
  forbidReuse(): void {
    this.#isReusable = false
  }

  #fail(reason: string, cause?: unknown): void {
    if (this.isDead) return
    this.isDead = true
    const job = this.#job
    this.#job = undefined
    this.#alarm.stop()
    this.socket.destroy()
    this.#onClosed(this)
    job?.onBroken(reason, cause)
  }

  /** `Keep-Alive: timeout=5` is a promise; a second before its end the connection is as good as closed. */
  #noteIdleLimit(): void {
    const { keepAlive } = this.#parser.head
    if (keepAlive >= 0) this.idleLimit = Math.max(0, Math.min(60_000, keepAlive * 1000 - 1000))
  }
}

/** A plain or TLS socket to the endpoint. TLS is strict unless the config says otherwise in so many words. */
export function openSocket(
  { host, port, tls }: Endpoint,
  opened: () => void,
  options: { readonly allowHalfOpen?: boolean; readonly onread?: OnReadOpts } = {}
): Socket {
  if (tls === undefined) return connect({ host, port, ...options }, opened)
  const { verify, ca, servername } = tls
  return connectTLS(
    {
      host,
      port,
      ...(options.allowHalfOpen !== undefined && { allowHalfOpen: options.allowHalfOpen }),
      rejectUnauthorized: verify,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      ...(ca !== undefined && { ca }),
      ...(servername !== undefined && { servername })
    },
    opened
  )
}

/** Why no connection could be made, without the words of a library. */
export function refusalReason(cause: unknown): string {
  const code = (cause as { code?: unknown } | undefined)?.code
  if (code === 'ECONNREFUSED') return 'connect_refused'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'connect_name'
  if (typeof code === 'string' && /CERT|TLS|SSL|SELF_SIGNED|ISSUER|SIGNATURE/.test(code)) return 'connect_tls'
  return 'connect_failed'
}
