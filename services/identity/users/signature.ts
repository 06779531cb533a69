import { createHmac, randomBytes } from 'node:crypto'

/** The header with the signature. */
export const signatureHeader = 'x-tollkeeper-signature'

export interface Signed {
  readonly method: string
  /** As in the request line. */
  readonly path: string
  readonly body: string
}

/**
 * What tells a users service that a request comes from the gateway, is fresh and was not altered: `t=<seconds>,k=<key id>,n=<nonce>,v1=<hex>`,
 * where v1 is HMAC-SHA256 over the version, t, n, method, path and body, a line each.
 */
export function signatureOf(
  { method, path, body }: Signed,
  key: { readonly id: string; readonly secret: string },
  now: number
): string {
  const t = Math.floor(now / 1000)
  const n = randomBytes(16).toString('base64url')
  const mac = createHmac('sha256', key.secret)
    .update(`v1\n${t}\n${n}\n${method}\n${path}\n${body}`)
    .digest('hex')
  return `t=${t},k=${key.id},n=${n},v1=${mac}`
}
