import { type Answer, type Ask, ask } from './client.ts'

/** What an answer sets, but for the mark of a known device, which every sign-in sets and no session depends on. */
export const cookiesSet = ({ headers }: Answer): string[] =>
  headers.getSetCookie().filter((text) => !text.startsWith('__Secure-toll_device='))

/** Keeps cookies as a browser does: by name, gone with Max-Age=0 or when their time is over, sent where their path is. */
export class Browser {
  readonly cookies = new Map<string, { value: string; path: string; until: number; text: string }>()
  readonly #origin: string

  constructor(origin: string) {
    this.#origin = origin
  }

  /** Asks as a page of the gateway's own origin does, unless `headers` say otherwise. */
  async ask(method: string, path: string, { headers, ...more }: Ask = {}): Promise<Answer> {
    const answer = await ask(method, this.#origin + path, {
      ...more,
      headers: { 'sec-fetch-site': 'same-origin', ...this.header(path), ...headers }
    })
    this.take(answer)
    return answer
  }

  take(answer: Answer): void {
    for (const text of cookiesSet(answer)) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(text) ?? []
      const age = Number(/; Max-Age=(\d+)/.exec(text)?.[1] ?? 0)
      const path = /; Path=([^;]*)/.exec(text)?.[1] ?? ''
      if (age === 0) this.cookies.delete(name)
      else this.cookies.set(name, { value, path, until: Date.now() + age * 1000, text })
    }
  }

  value(name: string): string {
    return this.cookies.get(name)?.value ?? ''
  }

  header(path: string): { cookie?: string } {
    const sent = [...this.cookies].filter(
      ([, cookie]) => cookie.until > Date.now() && (cookie.path === '/' || path === cookie.path)
    )
    return sent.length === 0 ? {} : { cookie: sent.map(([name, { value }]) => `${name}=${value}`).join('; ') }
  }

  signIn(username = 'kesa', password = '123'): Promise<Answer> {
    return this.ask('POST', '/auth/login', { json: { username, password, cookie: true } })
  }
}
