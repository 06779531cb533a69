import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'
import { redisUrlPattern } from './redis/address.ts'

const embedded = Type.Object(
  {
    driver: Type.Literal('embedded', {
      description: 'LMDB files, shared by the processes of one machine. Nothing to install.'
    }),
    path: Type.String({
      description: 'Directory of the files, relative to the config file. It is made when it is missing.',
      default: '.toll/store',
      minLength: 1,
      maxLength: 1024
    })
  },
  { additionalProperties: false, description: 'State of one machine, in files.' }
)

const redis = Type.Object(
  {
    driver: Type.Literal('redis', { description: 'Redis 6.2 or newer, shared by any number of gateways.' }),
    url: Type.String({
      description:
        'redis://user:password@host:port/db, redis+sentinel://host:port,host:port/master/db or redis+cluster://host:port,host:port; rediss for TLS.',
      pattern: redisUrlPattern,
      maxLength: 2048,
      examples: ['redis://127.0.0.1:6379', 'redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster'],
      secret: true
    }),
    timeout: Duration({
      description: 'A call without an answer after this time has failed; what needed it is answered 503.',
      default: '150ms'
    })
  },
  { additionalProperties: false, description: 'State of several machines, in Redis.' }
)

/** Where sessions, refresh tokens, revocations and limits are kept. */
export const storeSlice = Type.Union([embedded, redis], {
  description: 'Where sessions, refresh tokens, revocations and limits are kept.',
  default: { driver: 'embedded', path: '.toll/store' },
  discriminator: { propertyName: 'driver' }
})

export type StoreOptions = Static<typeof storeSlice>
