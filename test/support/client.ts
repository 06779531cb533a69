import { keep, keepSecret, keepSecretsIn } from './evidence.ts'

/** An answer of the gateway, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface Ask {
  readonly token?: string
  readonly json?: unknown
  readonly form?: string
  /** A body as it is; its type is among the headers. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends one request; fails after half a minute, so that nothing hangs a test. */
export async function ask(
  method: string,
  url: string,
  { token, json, form, text: plain, headers = {} }: Ask = {}
): Promise<Answer> {
  const sent: Record<string, string> = { ...headers }
  if (token !== undefined) sent.authorization = `Bearer ${token}`
  if (json !== undefined) sent['content-type'] = 'application/json'
  if (form !== undefined) sent['content-type'] = 'application/x-www-form-urlencoded'
  const response = await fetch(url, {
    method,
    headers: sent,
    body: form ?? plain ?? (json === undefined ? null : JSON.stringify(json)),
    redirect: 'manual',
    signal: AbortSignal.timeout(30_000)
  })
  const text = await response.text()
  const type = response.headers.get('content-type') ?? ''
  const body = /json/.test(type) && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {}
  keepSecret(token)
  for (const name of ['authorization', 'proxy-authorization', 'x-api-key', 'cookie'])
    for (const word of (headers[name] ?? '').split(/ |; |=/)) keepSecret(word)
  keepSecretsIn(json)
  keepSecretsIn(body)
  for (const cookie of response.headers.getSetCookie()) keepSecret(/=([^;]*)/.exec(cookie)?.[1])
  if (/^\/(admin|metrics)\b/.test(new URL(url).pathname) || type.startsWith('application/problem+json'))
    keep(text)
  return { status: response.status, headers: response.headers, text, body }
}
