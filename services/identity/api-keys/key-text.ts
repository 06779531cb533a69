import { createHash, randomInt } from 'node:crypto'
import { crc32 } from 'node:zlib'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 10
/** 43 characters of 62 are 256 bits. */
const secretLength = 43
const form = /^tlk1_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/

/** An API key in its parts. */
export interface KeyText {
  readonly id: string
  readonly secret: string
}

/** A new key. `text` is shown once and kept nowhere. */
export function makeKeyText(): KeyText & { readonly text: string } {
  const id = random(idLength)
  const secret = random(secretLength)
  const body = `tlk1_${id}_${secret}`
  return { id, secret, text: body + checksum(body) }
}

/**
 * The parts of `tlk1_<id>_<secret><checksum>`. A string that tells why, where it is no key: the checksum finds what was mistyped or
 * cut off before anything is looked up, and lets scanners for leaked secrets tell a key from chance.
 */
export function readKeyText(text: string): KeyText | 'apikey.malformed' | 'apikey.checksum' {
  const [, id, secret, sum] = form.exec(text) ?? []
  if (id === undefined || secret === undefined) return 'apikey.malformed'
  return checksum(text.slice(0, -6)) === sum ? { id, secret } : 'apikey.checksum'
}

/**
 * What is kept of a secret. One round of SHA-256 and no salt: the secret is 256 random bits, which nobody guesses however fast the
 * hash is, and a slow one would be paid at every request.
 */
export const hashSecret = (secret: string): Buffer => createHash('sha256').update(secret).digest()

const random = (length: number): string =>
  Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('')

/** CRC-32 in six digits of base 62; against typing errors, not against anybody. */
function checksum(body: string): string {
  let rest = crc32(body)
  let digits = ''
  for (let place = 0; place < 6; place += 1) {
    digits = alphabet[rest % 62] + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}
