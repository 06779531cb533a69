import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import type { ScryptPhc } from './phc.ts'

/** The cost OWASP names for scrypt at 32 MiB. */
export const scryptPrefix = '$scrypt$ln=15,r=8,p=3$'
const cost = { logN: 15, r: 8, p: 3 }
const hashLength = 32

/** scrypt in PHC form, for machines where argon2id cannot be had. */
export async function scryptHash(password: Buffer): Promise<string> {
  const salt = randomBytes(16)
  const hash = await derive(password, { ...cost, salt }, hashLength)
  return `${scryptPrefix}${unpadded(salt)}$${unpadded(hash)}`
}

export async function scryptVerify(phc: ScryptPhc, password: Buffer): Promise<boolean> {
  return timingSafeEqual(await derive(password, phc, phc.hash.length), phc.hash)
}

type Cost = Pick<ScryptPhc, 'logN' | 'r' | 'p' | 'salt'>

function derive(password: Buffer, { logN, r, p, salt }: Cost, length: number): Promise<Buffer> {
  const N = 2 ** logN
  const maxmem = 128 * r * (N + p + 2) + 1024 ** 2
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { N, r, p, maxmem }, (error, derived) =>
      error === null ? resolve(derived) : reject(error)
    )
  })
}

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
