import { type Connection, type Job, refusalReason } from './connection.ts'
import type { NodeClient, Waiter } from './node-client.ts'
import {
  type AnswerSink,
  type Failure,
  type FailureKind,
  headOf,
  type Outgoing,
  type Sent
} from './transport.ts'
import { Upload } from './upload.ts'

/** How the exchange with one node ended without an answer, and whether it may be tried again. */
export interface Setback extends Failure {
  /** True when nothing of the answer was handed on and the body can be sent once more. */
  readonly isRepeatable: boolean
  /** True when the connection went away without a byte of an answer. */
  readonly isClosed: boolean
  /** True when a pooled connection turned out to be closed already: no fault of the node. */
  readonly wasStale: boolean
}

/** Who decides what becomes of an attempt, and learns how nodes do. */
export interface AttemptOwner {
  /** No answer has begun, and none will from this node. Has to `start` again or to `fail`. */
  onSetback(setback: Setback): void
  /**
   * An answer begins; told before the sink is. Returns true for one that the sink is not to see: a setback follows at once.
   * `isRepeatable` says whether the body can be sent once more.
   */
  onAnswer(status: number, isRepeatable: boolean): boolean
  /** Told once, and last: the answer came to its end, the client left (both without a failure), or it failed. */
  onOver(failure: Failure | undefined): void
}

/** What an attempt waits for. */
type Phase = 'connection' | 'upload' | 'answer' | 'body'

/**
 * One request to one node after the other, until an answer begins. It owns the clock of the exchange: while there is no connection a timer,
 * and from then on the connection's alarm, which is set anew for each phase.
 */
export class Attempt implements Job, Waiter, Sent {
  #outgoing: Outgoing
  readonly #sink: AnswerSink
  readonly #owner: AttemptOwner
  readonly #upload: Upload | undefined
  readonly #total: NodeJS.Timeout | undefined
  #client: NodeClient | undefined
  #connection: Connection | undefined
  /** Runs while a connection is waited for. */
  #opening: NodeJS.Timeout | undefined
  #phase: Phase = 'connection'
  #hasHead = false
  #isPaused = false
  isOver = false

  constructor(outgoing: Outgoing, sink: AnswerSink, owner: AttemptOwner) {
    this.#outgoing = outgoing
    this.#sink = sink
    this.#owner = owner
    const { body, length, maxBody, timeouts } = outgoing
    if (body !== undefined) {
      this.#upload = new Upload(body, length === undefined, maxBody, {
        onProgress: () => this.#refresh(),
        onEnd: () => this.#awaitAnswer(),
        onTooLarge: () => this.#giveUp('body-too-large', 'body_size')
      })
    }
    if (timeouts.total > 0) {
      this.#total = setTimeout(() => this.#giveUp('timeout', 'total_timeout'), timeouts.total)
    }
  }

  /**
   * Sends the request to a node, over a pooled connection that was idle for less than `maxIdle` milliseconds or a new one.
   * May be called again after a setback that is repeatable.
   */
  start(client: NodeClient, maxIdle: number): void {
    this.#client = client
    this.#phase = 'connection'
    if (!client.acquire(this, maxIdle)) {
      this.#setBack('unavailable', 'queue_full', { isUnsent: true })
      return
    }
    const { connect } = this.#outgoing.timeouts
    // Mostly the pool had a connection, and all is under way by now.
    if (this.#phase !== 'connection' || this.isOver || connect <= 0) return
    this.#opening = setTimeout(() => {
      if (client.leave(this)) this.#setBack('unavailable', 'queue_timeout', { isUnsent: true })
      else this.#setBack('timeout', 'connect_timeout', { isUnsent: true })
    }, connect)
  }

  /** The same request, written for another node. */
  redirect(outgoing: Outgoing): void {
    this.#outgoing = outgoing
  }

  onConnection(connection: Connection): void {
    this.#stopOpening()
    this.#connection = connection
    connection.begin(this, this.#outgoing.method)
    const head = headOf(this.#outgoing)
    if (this.#upload === undefined) {
      connection.socket.write(head, 'latin1')
      this.#awaitAnswer()
    } else {
      this.#phase = 'upload'
      this.#upload.attach(connection.socket, head)
      if (this.#upload.isEnded) this.#awaitAnswer()
      else this.#refresh()
    }
  }

  onRefused(cause: unknown): void {
    this.#setBack('connect', refusalReason(cause), { isUnsent: true, cause })
  }

  onWhole(status: number, reason: string, headers: string[], body: string): void {
    this.#leaveUpload()
    if (this.#owner.onAnswer(status, this.#isRepeatable)) {
      this.#setBack('unavailable', 'answer_refused', { isUnsent: false })
      return
    }
    this.#hasHead = true
    this.#finish()
    this.#owner.onOver(undefined)
    this.#sink.onWhole(status, reason, headers, body)
  }

  onHead(status: number, reason: string, headers: string[]): void {
    if (this.#owner.onAnswer(status, this.#isRepeatable)) {
      this.#connection!.drop()
      this.#setBack('unavailable', 'answer_refused', { isUnsent: false })
      return
    }
    this.#hasHead = true
    this.#phase = 'body'
    this.#refresh()
    this.#sink.onHead(status, reason, headers)
  }

  onData(chunk: Buffer): boolean {
    this.#refresh()
    const wantsMore = this.#sink.onData(chunk)
    this.#isPaused = !wantsMore
    return wantsMore
  }

  onFlush(): void {
    if (this.#hasHead) this.#sink.onFlush()
  }

  onEnd(trailers: string[]): void {
    this.#leaveUpload()
    this.#finish()
    this.#owner.onOver(undefined)
    this.#sink.onEnd(trailers)
  }

  onBroken(reason: string, cause?: unknown): void {
    if (this.#hasHead) {
      this.#giveUp('broken', reason)
      return
    }
    const isClosed = isClose(reason)
    const wasStale = isClosed && this.#connection!.uses > 1
    this.#setBack('broken', reason, { isUnsent: false, isClosed, wasStale, cause })
  }

  onDue(): void {
    switch (this.#phase) {
      case 'upload':
        if (this.#upload?.isBlocked === true) this.#giveUp('timeout', 'upload_timeout')
        else this.#giveUp('slow-client', 'body_timeout')
        break
      case 'answer':
        this.#giveUp('timeout', 'response_timeout')
        break
      case 'body':
        if (this.#isPaused && this.#sink.isClientBehind === true) this.#refresh()
        else if (this.#isPaused) this.#giveUp('slow-client', 'send_timeout')
        else this.#giveUp('timeout', 'idle_timeout')
        break
    }
  }

  resume(): void {
    if (!this.#isPaused || this.isOver) return
    this.#isPaused = false
    this.#refresh()
    this.#connection?.resume()
  }

  cancel(): void {
    if (this.isOver) return
    this.#finish()
    this.#drop()
    this.#owner.onOver(undefined)
  }

  /** Ends the exchange with a failure that no other node can mend. */
  fail(failure: Failure): void {
    if (this.isOver) return
    this.#finish()
    this.#drop()
    this.#owner.onOver(failure)
    this.#sink.onFailure(failure)
  }

  /** After an answer before the request's end the rest of the request has nowhere to go. */
  #leaveUpload(): void {
    if (this.#upload !== undefined && !this.#upload.isEnded) this.#connection?.forbidReuse()
  }

  #awaitAnswer(): void {
    if (this.#hasHead || this.isOver || this.#connection === undefined) return
    this.#phase = 'answer'
    this.#connection.wait(this.#outgoing.timeouts.response)
  }

  /** Something moved: the silence that is bearable begins again. */
  #refresh(): void {
    if (this.#phase === 'upload' || this.#phase === 'body')
      this.#connection?.wait(this.#outgoing.timeouts.idle)
  }

  #giveUp(kind: FailureKind, reason: string): void {
    this.fail({ kind, reason, isUnsent: false })
  }

  #setBack(
    kind: FailureKind,
    reason: string,
    details: { isUnsent: boolean; isClosed?: boolean; wasStale?: boolean; cause?: unknown }
  ): void {
    if (this.isOver) return
    this.#stopOpening()
    this.#connection = undefined
    this.#upload?.detach()
    const isRepeatable = this.#isRepeatable
    this.#owner.onSetback({ kind, reason, isRepeatable, isClosed: false, wasStale: false, ...details })
  }

  get #isRepeatable(): boolean {
    return this.#upload === undefined || this.#upload.isReplayable
  }

  #finish(): void {
    this.isOver = true
    this.#stopOpening()
    if (this.#total !== undefined) clearTimeout(this.#total)
    this.#upload?.stop()
  }

  #stopOpening(): void {
    if (this.#opening === undefined) return
    clearTimeout(this.#opening)
    this.#opening = undefined
  }

  #drop(): void {
    if (this.#connection === undefined) this.#client?.leave(this)
    else this.#connection.drop()
    this.#connection = undefined
  }
}

/** The connection went away without a byte of an answer, as a node does with one it took for idle. */
const isClose = (reason: string): boolean =>
  reason === 'closed' || reason === 'closed_before_answer' || reason === 'reset'
