import type { Line } from './line-queue.ts'

/** Hands batches over to one place. It is asked for one batch at a time. */
export interface Delivery {
  /** Resolves once the lines are taken, rejects with a DeliveryError. Has to end soon after `signal` says so. */
  deliver(batch: readonly Line[], signal: AbortSignal): Promise<void>
  /** Lets go of what it holds. Nothing is delivered any more. */
  close(): void | Promise<void>
}

/** What becomes of a batch that was not taken: it is tried `again`, taken apart (`too large`), or given up (`never`). */
export type Retry = 'again' | 'too large' | 'never'

/**
 * Why a batch was not taken, in words of our own: they are shown to operators, and what a library or a peer says may hold addresses
 * or secrets.
 */
export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  readonly retry: Retry
  /** Milliseconds that the other side asked to be left alone for. */
  readonly after: number | undefined

  constructor(words: string, { retry = 'again', after }: { retry?: Retry; after?: number | undefined } = {}) {
    super(words)
    this.retry = retry
    this.after = after
  }
}

/** Any failure as one of ours. */
export function deliveryError(error: unknown): DeliveryError {
  if (error instanceof DeliveryError) return error
  const { name, code } = error as { name?: unknown; code?: unknown }
  if (name === 'TimeoutError' || name === 'AbortError') return new DeliveryError('it took too long')
  return new DeliveryError(words[String(code)] ?? tlsWords(String(code)) ?? 'it failed')
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ETIMEDOUT: 'it took too long',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name could not be looked up',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk is full for this user',
  EFBIG: 'the file is too large for its file system',
  EROFS: 'the file system is read-only',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EISDIR: 'a directory is in the way',
  ENOTDIR: 'a file is in the way of a directory',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
  EIO: 'the disk fails'
}

const tlsWords = (code: string): string | undefined =>
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|EPROTO|HOSTNAME_MISMATCH)/.test(code)
    ? 'TLS did not come about'
    : undefined
