import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../../config/units.ts'

const count = (description: string, fallback: number) =>
  Type.Integer({ description, default: fallback, minimum: 0, maximum: 1_000_000 })

/** The key `auth.lockout`: what happens to those who guess passwords. */
export const lockOutSlice = Type.Object(
  {
    failures: count('Wrong passwords for one user from one address, or one known device. 0: any number.', 5),
    perUser: count('Wrong passwords for one user from everywhere, known devices aside. 0: any number.', 20),
    perAddress: count('Wrong passwords from one address (IPv6: its /64), for whomever. 0: any number.', 50),
    first: Duration({
      description: 'How long sign-ins are refused then. Each further wrong password doubles it.',
      default: '30s'
    }),
    longest: Duration({ description: 'The longest they are refused.', default: '15m' }),
    window: Duration({
      description: 'Wrong passwords are forgotten when no other came for this long.',
      default: '15m'
    }),
    device: Duration({
      description:
        'How long a browser that signed in is known: `perUser` does not concern it, so that nobody can lock a user out everywhere. 0s: none is.',
      default: '30d'
    })
  },
  {
    additionalProperties: false,
    default: {},
    description: 'How many wrong passwords are too many, over all gateways.'
  }
)

export type LockOutOptions = Static<typeof lockOutSlice>
