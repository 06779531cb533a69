/** What a stored password says of itself (PHC string format). */
export interface Phc {
  readonly form: 'argon2id' | 'scrypt'
  /** Everything before the salt. Hashes with the same prefix take the same time. */
  readonly prefix: string
  /** Memory times passes; tells a weaker hash from a stronger one of the same form. */
  readonly work: number
}

export interface ScryptPhc extends Phc {
  readonly form: 'scrypt'
  readonly logN: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

const argon2id =
  /^(\$argon2id\$v=19\$m=([1-9]\d{0,5}),t=([1-9]\d?),p=([1-9]\d?)\$)[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}$/
const scrypt =
  /^(\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$)([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

/** KiB that one argon2id hash may take, and KiB times passes. */
const mostMemory = 262_144
const mostWork = 1_048_576
/** The same for scrypt: N times r (128 MiB), and that times p. */
const mostScryptMemory = 2 ** 20
const mostScryptWork = 2 ** 21

/**
 * Reads a stored password. Undefined for anything else, and for a cost that no honest file asks for: whoever can write a hash must not be
 * able to take the gateway's memory with it.
 */
export function readPhc(text: string): Phc | ScryptPhc | undefined {
  return readArgon2id(text) ?? readScrypt(text)
}

function readArgon2id(text: string): Phc | undefined {
  const [, prefix, ...numbers] = argon2id.exec(text) ?? []
  if (prefix === undefined) return undefined
  const [memory = 0, passes = 0, lanes = 0] = numbers.map(Number)
  const work = memory * passes
  // RFC 9106 3.1: at least 8 KiB for each lane.
  const isBounded = memory <= mostMemory && work <= mostWork && lanes <= 16 && memory >= 8 * lanes
  return isBounded ? { form: 'argon2id', prefix, work } : undefined
}

function readScrypt(text: string): ScryptPhc | undefined {
  const [, prefix, ln, rr, pp, salt = '', hash = ''] = scrypt.exec(text) ?? []
  if (prefix === undefined) return undefined
  const [logN, r, p] = [Number(ln), Number(rr), Number(pp)]
  const memory = 2 ** logN * r
  const work = memory * p
  if (memory > mostScryptMemory || work > mostScryptWork) return undefined
  const bytes = { salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') }
  return { form: 'scrypt', prefix, work, logN, r, p, ...bytes }
}
