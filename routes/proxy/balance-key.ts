import type { FastifyRequest } from 'fastify'
import type { KeySource } from '../../services/upstream/pool.ts'

/** What of a request decides which node it goes to; undefined when it has nothing of the kind. */
export function balanceKey({ from, name }: KeySource, request: FastifyRequest): string | undefined {
  switch (from) {
    case 'header': {
      const value = request.raw.headers[name]
      return typeof value === 'string' ? value : value?.join()
    }
    case 'cookie':
      return cookie(request.raw.headers.cookie ?? '', name)
    case 'subject':
      return request.exchange.principal?.subject
    case 'address':
      return request.exchange.client
    case 'path':
      return request.exchange.path
  }
}

/** The first cookie of that name (RFC 6265 4.2). */
function cookie(header: string, name: string): string | undefined {
  for (let start = 0; start < header.length; ) {
    const semicolon = header.indexOf(';', start)
    const end = semicolon < 0 ? header.length : semicolon
    while (header.charCodeAt(start) === 32) start += 1
    if (header.startsWith(name, start) && header.charCodeAt(start + name.length) === 61) {
      return header.slice(start + name.length + 1, end).trimEnd()
    }
    start = end + 1
  }
  return undefined
}
