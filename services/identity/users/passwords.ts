import { hash as argon2Hash, verify as argon2Verify, type Options } from '@node-rs/argon2'
import { Overloaded } from '../../../errors.ts'

/** argon2id at the cost OWASP names: 19 MiB, two passes, about 10 ms. */
const cost: Options = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }
const maxPasswordBytes = 1024
/** Hashes at a time: half of libuv's threads, so that files and DNS of other requests do not wait behind a login flood. */
const maxRunning = 2
const maxWaiting = 256
/** Of a password nobody knows; an unknown user costs what a known one does. */
const decoy =
  '$argon2id$v=19$m=19456,t=2,p=1$+Ev++vFF9XWgjGH8H0CmzQ$wlzqNZLx6Hk+aGklDG99QmEEm33x9NGFgnXi2U2lCBA'

/** The text that is hashed, or undefined when it is longer than a password may be. */
export function passwordBytes(password: string): Buffer | undefined {
  if (password.length > maxPasswordBytes) return undefined
  const bytes = Buffer.from(password.normalize('NFC'), 'utf8')
  return bytes.length <= maxPasswordBytes ? bytes : undefined
}

/** A PHC string to keep instead of the password. */
export async function hashPassword(password: string): Promise<string> {
  const bytes = passwordBytes(password)
  if (bytes === undefined) throw new Error(`a password has at most ${maxPasswordBytes} bytes`)
  return argon2Hash(bytes, cost)
}

/** Compares passwords with their hashes, a bounded number at a time. */
export class Passwords {
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** With no hash (no such user) it takes as long and is false. */
  async matches(password: string, phc: string | undefined): Promise<boolean> {
    const bytes = passwordBytes(password)
    await this.#enter()
    try {
      const isRight = await argon2Verify(phc ?? decoy, bytes ?? Buffer.alloc(1))
      return isRight && phc !== undefined && bytes !== undefined
    } finally {
      this.#leave()
    }
  }

  #enter(): void | Promise<void> {
    if (this.#running < maxRunning) {
      this.#running += 1
      return
    }
    if (this.#waiting.length >= maxWaiting) {
      throw Overloaded([], { reason: 'password_queue', headers: { 'retry-after': '1' } })
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running -= 1
    else next()
  }
}
