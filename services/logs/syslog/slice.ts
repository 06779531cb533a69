import { Type } from '@sinclair/typebox'
import { hostAndPort } from '../address.ts'
import { tlsFields } from '../tls-slice.ts'

/** RFC 5424 6.2.1, in the order of their numbers. */
export const facilities = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
  'ntp',
  'security',
  'console',
  'clock',
  'local0',
  'local1',
  'local2',
  'local3',
  'local4',
  'local5',
  'local6',
  'local7'
] as const

const printable = (length: number) => `^[!-~]{1,${length}}$`

export const syslogFields = {
  address: Type.String({
    description: 'host:port of the server.',
    pattern: hostAndPort,
    maxLength: 260,
    examples: ['10.0.0.1:514']
  }),
  transport: Type.Union(
    [
      Type.Literal('udp', {
        description: 'A datagram for each line (RFC 5426); nobody knows whether it arrives.'
      }),
      Type.Literal('tcp', { description: 'With octet counting (RFC 6587 3.4.1).' }),
      Type.Literal('tls', { description: 'With octet counting (RFC 5425).' })
    ],
    { default: 'tcp', description: 'How lines get there.' }
  ),
  facility: Type.Union(
    facilities.map((name, code) => Type.Literal(name, { description: `Number ${code}.` })),
    { default: 'local0', description: 'What the lines are about, in the words of syslog.' }
  ),
  appName: Type.String({
    default: 'tollkeeper',
    description: 'APP-NAME of each message.',
    pattern: printable(48)
  }),
  hostname: Type.Optional(
    Type.String({
      description: "HOSTNAME of each message; the machine's own when left out.",
      pattern: printable(255)
    })
  ),
  tls: Type.Optional(tlsFields)
} as const
