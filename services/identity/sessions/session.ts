import { BadRequest, StoreUnavailable, Unauthenticated } from '../../../errors.ts'
import { maxSessionData, type SessionProvider } from './provider.ts'

/**
 * The session of who is asking, with a little data of its own: whatever plugins want to know again at its next request, at whichever
 * gateway. Names are 1 to 64 letters, digits and `._:-`, a letter first; values are JSON. All of it has 2048 bytes at most and ends
 * with the session. Each call is one atomic operation at the session provider, and rejects with a problem of `errors`:
 * Unauthenticated once the session is gone, BadRequest beyond the bytes, StoreUnavailable while nobody answers.
 */
export interface Session {
  readonly id: string
  readonly user: string
  /** Undefined for a name that was not set. */
  get<Value = unknown>(name: string): Promise<Value | undefined>
  set(name: string, value: unknown): Promise<void>
  delete(name: string): Promise<void>
}

const nameForm = /^[A-Za-z][A-Za-z0-9._:-]{0,63}$/

/** A session whose data is in a provider. */
export class ProvidedSession implements Session {
  readonly id: string
  readonly user: string
  readonly #sessions: SessionProvider

  constructor(sessions: SessionProvider, id: string, user: string) {
    this.#sessions = sessions
    this.id = id
    this.user = user
  }

  async get<Value = unknown>(name: string): Promise<Value | undefined> {
    const read = await this.#sessions.readData(this.id, checked(name))
    if (read.outcome === 'GONE') throw gone()
    if (read.json === undefined) return undefined
    try {
      return JSON.parse(read.json) as Value
    } catch (cause) {
      throw StoreUnavailable([], { reason: 'session_data', cause })
    }
  }

  async set(name: string, value: unknown): Promise<void> {
    const json = JSON.stringify(value) as string | undefined
    if (json === undefined)
      throw new TypeError(`The value of "${name}" is not JSON; use delete to remove it.`)
    await this.#write(name, json)
  }

  async delete(name: string): Promise<void> {
    await this.#write(name, undefined)
  }

  async #write(name: string, json: string | undefined): Promise<void> {
    const outcome = await this.#sessions.writeData(this.id, checked(name), json)
    if (outcome === 'GONE') throw gone()
    if (outcome === 'FULL') {
      throw BadRequest([`The data of this session would be larger than ${maxSessionData} bytes.`], {
        reason: 'session_data_full'
      })
    }
  }
}

function checked(name: string): string {
  if (nameForm.test(name)) return name
  throw new TypeError('A name in the data of a session is 1 to 64 letters, digits and ._:- after a letter.')
}

const gone = (): Error =>
  Unauthenticated(['The session was ended; sign in again.'], { reason: 'revoked.gone' })
