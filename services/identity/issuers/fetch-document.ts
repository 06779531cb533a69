export interface FetchedDocument {
  readonly bytes: Uint8Array
  /** Seconds it may be kept (RFC 9111 5.2.2.1), if it says. */
  readonly maxAge: number | undefined
}

/** Why a document could not be had, in words of ours: no address and no text of the other side in it. */
export class FetchFailed extends Error {
  override readonly name = 'FetchFailed'
  readonly status: number | undefined

  constructor(sentence: string, status?: number) {
    super(sentence)
    this.status = status
  }
}

export const maxDocument = 65_536
const maxRedirects = 3

/**
 * Fetches a small document until `signal` ends it, redirects included; they may not lead to another origin, which nobody has named
 * as a place to trust. Rejects with FetchFailed.
 */
export async function fetchDocument(url: URL, signal: AbortSignal): Promise<FetchedDocument> {
  let from = url
  try {
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const response = await fetch(from, {
        redirect: 'manual',
        signal,
        headers: { accept: 'application/json' }
      })
      const location =
        response.status >= 300 && response.status < 400 ? response.headers.get('location') : null
      if (location === null) return await read(response)
      await response.body?.cancel()
      from = new URL(location, from)
      if (from.origin !== url.origin) throw new FetchFailed('it leads to another origin')
    }
    throw new FetchFailed('it leads from one address to the next')
  } catch (error) {
    if (error instanceof FetchFailed) throw error
    throw new FetchFailed(signal.aborted ? 'it did not answer in time' : 'it cannot be reached')
  }
}

async function read(response: Response): Promise<FetchedDocument> {
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new FetchFailed(`it answered ${response.status}`, response.status)
  }
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    // Leaving the loop cancels the body.
    if (size > maxDocument) throw new FetchFailed('its answer is too large')
    chunks.push(chunk)
  }
  return { bytes: Buffer.concat(chunks), maxAge: maxAgeOf(response.headers.get('cache-control') ?? '') }
}

function maxAgeOf(control: string): number | undefined {
  if (/(?:^|[\s,])no-(?:store|cache)\b/i.test(control)) return 0
  const [, seconds] = /(?:^|[\s,])max-age="?(\d{1,9})/i.exec(control) ?? []
  return seconds === undefined ? undefined : Number(seconds)
}
