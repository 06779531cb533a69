/** What is void before its time: one session, all a user has had so far, one token, all of a client's or of a key's. */
export type Revocation =
  | { readonly kind: 'session'; readonly sid: string }
  | { readonly kind: 'user'; readonly userHash: string; readonly epoch: number }
  | { readonly kind: 'token'; readonly jti: string }
  | { readonly kind: 'client'; readonly client: string }
  | { readonly kind: 'key'; readonly kid: string }

/** One line of the log: kind, value, and for a user the epoch. */
export function toEvent(revocation: Revocation): string {
  switch (revocation.kind) {
    case 'session':
      return `s ${revocation.sid}`
    case 'user':
      return `u ${revocation.userHash} ${revocation.epoch}`
    case 'token':
      return `j ${encodeURIComponent(revocation.jti)}`
    case 'client':
      return `c ${encodeURIComponent(revocation.client)}`
    case 'key':
      return `k ${revocation.kid}`
  }
}

/** Undefined for what a newer gateway may have written. */
export function fromEvent(event: string): Revocation | undefined {
  const [kind, value, epoch] = event.split(' ')
  if (value === undefined) return undefined
  switch (kind) {
    case 's':
      return { kind: 'session', sid: value }
    case 'j':
      return { kind: 'token', jti: decodeURIComponent(value) }
    case 'c':
      return { kind: 'client', client: decodeURIComponent(value) }
    case 'k':
      return { kind: 'key', kid: value }
    case 'u':
      return Number.isSafeInteger(Number(epoch))
        ? { kind: 'user', userHash: value, epoch: Number(epoch) }
        : undefined
    default:
      return undefined
  }
}
