import { type Static, Type } from '@sinclair/typebox'
import type { HashOptions, Strategy } from './balance.ts'

const strategies = [
  Type.Literal('round-robin'),
  Type.Literal('least-connections'),
  Type.Literal('p2c'),
  Type.Literal('random')
]

const hash = Type.Object(
  {
    by: Type.String({
      description:
        'What sends a request to its node: "header:<name>", "cookie:<name>", "subject" (who is signed in), "address" (the client\'s) or "path".',
      pattern:
        "^(header:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|cookie:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}|subject|address|path)$",
      examples: ['header:x-tenant', 'cookie:cart', 'subject', 'address', 'path']
    }),
    otherwise: Type.Union(strategies, {
      default: 'round-robin',
      description: 'How a node is picked for a request that has none of it.'
    }),
    maxLoad: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 1000,
      description:
        'Most that a node may have under way, in percent of the mean, before its keys go to the next; 0 means no bound. Below 101 there is none either.'
    })
  },
  { additionalProperties: false, description: 'The same key to the same node, whichever gateway is asked.' }
)

/** How a node is picked. */
export const balanceSlice = Type.Union([...strategies, hash], {
  default: 'round-robin',
  description:
    'How a node is picked, by weight: in turn ("round-robin"), who has least under way ("least-connections"), who is expected to be done first ("p2c"), by chance ("random"), or by a key.'
})

export function balanceOf(options: Static<typeof balanceSlice>): Strategy | HashOptions {
  if (typeof options === 'string') return options
  const { by, otherwise, maxLoad } = options
  const [from, name = ''] = by.split(/:(.*)/s) as [HashOptions['source']['from'], string?]
  return {
    source: { from, name: from === 'header' ? name.toLowerCase() : name },
    otherwise,
    maxLoad: maxLoad > 100 ? maxLoad / 100 : 0
  }
}
