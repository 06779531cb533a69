import type { IncomingMessage } from 'node:http'

/** Why an exchange with a node failed: which problem the client gets depends on it. */
export type FailureKind =
  /** No connection could be made; nothing was sent. */
  | 'connect'
  /** The connection broke, or what came over it was not an answer. */
  | 'broken'
  /** The node took too long. */
  | 'timeout'
  /** Nobody to ask, or too many asking. */
  | 'unavailable'
  /** The client's body is larger than the route takes. */
  | 'body-too-large'
  /** The client was too slow to send its body. */
  | 'slow-client'

export interface Failure {
  readonly kind: FailureKind
  /** snake_case, for the log and a metric label. */
  readonly reason: string
  /** True when the node cannot have seen the request. */
  readonly isUnsent: boolean
  readonly cause?: unknown
}

/** One request on its way to a node. */
export interface Outgoing {
  readonly method: string
  /** With query, beginning with a slash. */
  readonly path: string
  /** What the Host header says. */
  readonly host: string
  /** Header lines, each with its CRLF; without Host, framing and Connection, which are the transport's. */
  readonly headers: string
  /** Where the body comes from; undefined when there is none. */
  readonly body: IncomingMessage | undefined
  /** Bytes the client announced; undefined for a chunked body. */
  readonly length: number | undefined
  readonly maxBody: number
  /** What a service may have seen of it is never sent again, whatever the method. */
  readonly isOnce?: boolean
  readonly timeouts: Timeouts
}

/** All in milliseconds; 0 means none. */
export interface Timeouts {
  readonly connect: number
  /** From the last byte of the request to the head of the answer. */
  readonly response: number
  /** Between two bytes of a body, either way. */
  readonly idle: number
  readonly total: number
}

/** Where an answer goes. `onHead` comes at most once; exactly one `onWhole`, `onEnd` or `onFailure` comes last. */
export interface AnswerSink {
  /** A small answer, all at once, with no `onHead` before it; `body` is latin1, one character a byte. */
  onWhole(status: number, reason: string, headers: string[], body: string): void
  onHead(status: number, reason: string, headers: string[]): void
  /** Returns false to be spared further chunks until `resume` is called. */
  onData(chunk: Buffer): boolean
  /** Everything that arrived so far was handed over. */
  onFlush(): void
  onEnd(trailers: string[]): void
  onFailure(failure: Failure): void
  /** True while it is the client that holds the answer up, and somebody else's task to be impatient with it. */
  readonly isClientBehind?: boolean
}

/** Hold on an exchange under way. */
export interface Sent {
  /** The client left: stops everything, reports nothing. */
  cancel(): void
  resume(): void
}

/** A request's line and headers as they go over the wire. */
export function headOf({ method, path, host, headers, body, length }: Outgoing): string {
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}`
  if (length !== undefined) return `${head}Content-Length: ${length}\r\n\r\n`
  return body === undefined ? `${head}\r\n` : `${head}Transfer-Encoding: chunked\r\n\r\n`
}
