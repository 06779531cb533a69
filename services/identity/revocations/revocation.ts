/**
 * What is void before its time: one session, all a user has had so far, one token; and, until it is lifted, whatever a client or a
 * key has to do with. A token, client or key of a foreign issuer is named `<issuer>|<value>`.
 */
export type Revocation =
  | { readonly kind: 'session'; readonly sid: string }
  | { readonly kind: 'user'; readonly userHash: string; readonly epoch: number; readonly uid?: string }
  | { readonly kind: 'token'; readonly jti: string }
  | ({ readonly kind: 'client'; readonly client: string } & Lasting)
  | ({ readonly kind: 'key'; readonly kid: string } & Lasting)

export type RevocationKind = Revocation['kind']
export type LastingRevocation = Extract<Revocation, Lasting>

/** What stays until it is lifted. Of two events about one name the one with the greater stamp holds, whoever sent it and whenever it arrives. */
export interface Lasting {
  readonly stamp?: number
  readonly isLifted?: boolean
}

export const isLasting = (revocation: Revocation): revocation is LastingRevocation =>
  revocation.kind === 'client' || revocation.kind === 'key'

/** The client's or the key's name. */
export const nameOf = (revocation: LastingRevocation): string =>
  revocation.kind === 'client' ? revocation.client : revocation.kid

/** One line of the log: kind, value, and what goes with it. */
export function toEvent(revocation: Revocation): string {
  switch (revocation.kind) {
    case 'session':
      return `s ${revocation.sid}`
    case 'user': {
      const { userHash, epoch, uid } = revocation
      return uid === undefined
        ? `u ${userHash} ${epoch}`
        : `u ${userHash} ${epoch} ${encodeURIComponent(uid)}`
    }
    case 'token':
      return `j ${encodeURIComponent(revocation.jti)}`
    case 'client':
    case 'key': {
      const { kind, stamp = 0, isLifted = false } = revocation
      return `${kind[0]} ${encodeURIComponent(nameOf(revocation))} ${stamp} ${isLifted ? 0 : 1}`
    }
  }
}

/** Whether a line is about tokens of another issuer, which may live longer than the gateway's own. */
export const isForeign = (event: string): boolean => /^[jck] \S*%7C/.test(event)

/** Undefined for what a newer gateway may have written. */
export function fromEvent(event: string): Revocation | undefined {
  const [kind, value, number, rest] = event.split(' ')
  if (kind === undefined || value === undefined) return undefined
  try {
    return read(kind, value, Number(number), rest)
  } catch {
    // A broken percent-encoding.
    return undefined
  }
}

function read(kind: string, value: string, number: number, rest: string | undefined): Revocation | undefined {
  if (kind === 's') return { kind: 'session', sid: value }
  if (kind === 'j') return { kind: 'token', jti: decodeURIComponent(value) }
  if (!Number.isSafeInteger(number)) return undefined
  if (kind === 'u') {
    const uid = rest === undefined ? {} : { uid: decodeURIComponent(rest) }
    return { kind: 'user', userHash: value, epoch: number, ...uid }
  }
  const lasting = { stamp: number, isLifted: rest === '0' }
  if (kind === 'c') return { kind: 'client', client: decodeURIComponent(value), ...lasting }
  return kind === 'k' ? { kind: 'key', kid: decodeURIComponent(value), ...lasting } : undefined
}
