import { type Static, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { originLookup } from '../services/cors/origins.ts'
import { corsSchema } from '../services/cors/slice.ts'
import { ByRoute } from './by-route.ts'
import { definePlugin, type Exchange } from './plugin.ts'

/**
 * Answers browsers' cross-origin questions for listed origins (Fetch 3.3), and says nothing to any other; without origins it leaves CORS to
 * the services. It is ahead of all that asks who is there: a preflight never carries credentials.
 */
export const cors = definePlugin({
  key: 'cors',
  slice: Type.Object(corsSchema.properties, {
    additionalProperties: false,
    default: {},
    description: 'Cross-origin requests from browsers.'
  }),
  route: Type.Object({
    cors: Type.Optional(
      Type.Object(corsSchema.properties, {
        additionalProperties: false,
        description: 'What the route says for CORS, in place of everything that the key "cors" says.'
      })
    )
  }),

  setup(app, options) {
    const general = voiceOf(options)
    const own = new ByRoute<Voice | 'none'>()
    let isSilent = general === undefined
    const voiceFor = ({ route, preflight }: Exchange): Voice | undefined => {
      const place = preflight ?? route
      const voice = place && own.get(place)
      return voice === undefined ? general : voice === 'none' ? undefined : voice
    }
    app.addHook('onRequest', (request, reply, done) => {
      const voice = isSilent ? undefined : voiceFor(request.exchange)
      if (voice === undefined) done()
      else if (isPreflight(request)) answer(request, reply, voice)
      else {
        speak(request, reply, voice)
        done()
      }
    })
    return (route) => {
      if (route.cors === undefined) return undefined
      own.set(route, voiceOf(route.cors) ?? 'none')
      isSilent = false
      return undefined
    }
  }
})

/** What there is to say, put in words once. */
interface Voice {
  readonly isListed: (origin: string) => boolean
  readonly methods: ReadonlySet<string>
  readonly headers: ReadonlySet<string>
  readonly expose: string
  readonly credentials: boolean
  /** Of a preflight that is granted. */
  readonly granted: Readonly<Record<string, string>>
}

function voiceOf(options: Static<typeof corsSchema>): Voice | undefined {
  const { origins, methods, headers, expose, credentials, maxAge } = options
  if (origins.length === 0) return undefined
  return {
    isListed: originLookup(origins),
    methods: new Set(methods),
    headers: new Set(headers.map((name) => name.toLowerCase())),
    expose: expose.join(', '),
    credentials,
    granted: {
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': headers.join(', '),
      'access-control-max-age': String(maxAge)
    }
  }
}

/** An OPTIONS without both headers is an ordinary request, and goes its way (Fetch 4.8). */
const isPreflight = ({ raw: { method, headers } }: FastifyRequest): boolean =>
  method === 'OPTIONS' &&
  headers.origin !== undefined &&
  headers['access-control-request-method'] !== undefined

/** Who is not listed, or asks for what is not, gets the same answer without a word of CORS: the browser then does not ask further. */
function answer({ raw: { headers } }: FastifyRequest, reply: FastifyReply, voice: Voice): void {
  reply.header('vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers')
  const { origin = '' } = headers
  const isGranted =
    voice.isListed(origin) &&
    voice.methods.has(headers['access-control-request-method'] ?? '') &&
    namesIn(headers['access-control-request-headers']).every((name) => voice.headers.has(name))
  if (isGranted) {
    reply.header('access-control-allow-origin', origin)
    if (voice.credentials) reply.header('access-control-allow-credentials', 'true')
    reply.headers(voice.granted)
  }
  // RFC 9110 8.6 wants no length here, but Safari waits for a body without one.
  reply.code(204).header('content-length', '0').send()
}

const namesIn = (list: string | undefined): readonly string[] =>
  (list ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')

/** Headers of any other answer, whoever gives it. A cache has to know that others would get others (Fetch 3.3.5). */
function speak({ raw, exchange }: FastifyRequest, reply: FastifyReply, voice: Voice): void {
  exchange.ownsCors = true
  reply.header('vary', 'Origin')
  const { origin } = raw.headers
  if (origin === undefined || !voice.isListed(origin) || !voice.methods.has(raw.method ?? '')) return
  reply.header('access-control-allow-origin', origin)
  if (voice.credentials) reply.header('access-control-allow-credentials', 'true')
  if (voice.expose !== '') reply.header('access-control-expose-headers', voice.expose)
}
