import { availableParallelism } from 'node:os'
import { Line } from './line.ts'
import { type Phc, readPhc, type ScryptPhc } from './phc.ts'
import { scryptHash, scryptPrefix, scryptVerify } from './scrypt.ts'

/** argon2id at the cost OWASP names: 19 MiB, two passes, about 10 ms. */
const cost = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 }
const argon2Prefix = '$argon2id$v=19$m=19456,t=2,p=1$'
const maxPasswordBytes = 1024
/** Hashes at a time: half of libuv's threads at most, for files and DNS of other requests, and one core left for all the rest. */
const maxRunning = Math.max(1, Math.min(2, availableParallelism() - 1))
const maxWaiting = 256
/** Salt and hash of a password nobody knows. */
const decoyTail = '+Ev++vFF9XWgjGH8H0CmzQ$wlzqNZLx6Hk+aGklDG99QmEEm33x9NGFgnXi2U2lCBA'

type Argon2 = typeof import('@node-rs/argon2')

/** The text that is hashed, or undefined when it is longer than a password may be. */
export function passwordBytes(password: string): Buffer | undefined {
  if (password.length > maxPasswordBytes) return undefined
  const bytes = Buffer.from(password.normalize('NFC'), 'utf8')
  return bytes.length <= maxPasswordBytes ? bytes : undefined
}

/** A PHC string to keep instead of the password: argon2id, or scrypt where the native module cannot be loaded. */
export async function hashPassword(password: string): Promise<string> {
  const bytes = passwordBytes(password)
  if (bytes === undefined) throw new Error(`a password has at most ${maxPasswordBytes} bytes`)
  return hashBytes(bytes, await loadArgon2())
}

/** What an unknown user's password is compared with: as costly as most of the stored ones, so that the time tells nothing. */
export function decoyOf(stored: Iterable<string>): string {
  const counts = new Map<string, number>()
  for (const text of stored) {
    const { prefix } = readPhc(text)!
    counts.set(prefix, (counts.get(prefix) ?? 0) + 1)
  }
  const [[prefix] = [argon2Prefix]] = [...counts].sort(([, one], [, other]) => other - one)
  return prefix + decoyTail
}

/** Compares passwords with their hashes, a bounded number at a time. */
export class Passwords {
  readonly #argon2: Argon2 | undefined
  readonly #line = new Line(maxRunning, maxWaiting, 'password_queue')

  private constructor(argon2: Argon2 | undefined) {
    this.#argon2 = argon2
  }

  static async open(warn: (sentence: string) => void): Promise<Passwords> {
    const argon2 = await loadArgon2()
    if (argon2 === undefined) {
      warn(
        'argon2id cannot be loaded on this machine (package @node-rs/argon2): new passwords are kept as scrypt.'
      )
    }
    return new Passwords(argon2)
  }

  /** Whether such a hash can be verified here. */
  canVerify(phc: string): boolean {
    return this.#argon2 !== undefined || readPhc(phc)?.form !== 'argon2id'
  }

  /** With no hash (no such user) it takes as long as with `decoy` and is false. `isGone`: whoever asks has left meanwhile. */
  matches(
    password: string,
    phc: string | undefined,
    { decoy, isGone }: { readonly decoy: string; readonly isGone?: (() => boolean) | undefined }
  ): Promise<boolean> {
    return this.#line.run(async () => {
      const bytes = passwordBytes(password)
      const isRight = await this.#verify(phc ?? decoy, bytes ?? Buffer.alloc(1))
      return isRight && phc !== undefined && bytes !== undefined
    }, isGone)
  }

  /** Whether the password should be hashed anew: at less than today's cost, or in the form that is the way out only. */
  isOutdated(phc: string): boolean {
    const stored = readPhc(phc)!
    const today = readPhc((this.#argon2 === undefined ? scryptPrefix : argon2Prefix) + decoyTail)!
    return stored.form === today.form ? stored.work < today.work : today.form === 'argon2id'
  }

  /** Another hash of a password that was right; undefined while others wait for theirs. */
  async renew(password: string): Promise<string | undefined> {
    if (!this.#line.isFree) return undefined
    return this.#line.run(() => hashBytes(passwordBytes(password)!, this.#argon2))
  }

  #verify(text: string, password: Buffer): Promise<boolean> {
    const phc = readPhc(text)
    if (phc === undefined) return Promise.resolve(false)
    return isScrypt(phc) ? scryptVerify(phc, password) : this.#argon2!.verify(text, password)
  }
}

const isScrypt = (phc: Phc): phc is ScryptPhc => phc.form === 'scrypt'

const hashBytes = (password: Buffer, argon2: Argon2 | undefined): Promise<string> =>
  argon2 === undefined ? scryptHash(password) : argon2.hash(password, cost)

/** The native module, where there is one for this machine. */
const loadArgon2 = (): Promise<Argon2 | undefined> => import('@node-rs/argon2').catch(() => undefined)
