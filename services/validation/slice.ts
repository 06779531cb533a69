import { type Static, Type } from '@sinclair/typebox'

/** A JSON Schema is checked by its own rules, in check.ts. */
const schema = (what: string) =>
  Type.Optional(
    Type.Record(Type.String(), Type.Unknown({ description: 'As JSON Schema says.' }), {
      maxProperties: 1000,
      description: `A JSON Schema (2020-12, or draft-07 where "$schema" says so) for ${what}.`
    })
  )

export const validateSchema = Type.Object(
  {
    body: schema('the body'),
    query: schema('the query: an object of its parameters'),
    params: schema("the parameters of the route's path"),
    headers: schema('the headers, by their names in lower case'),
    contentTypes: Type.Array(
      Type.String({
        description: 'A JSON media type without parameters, or "application/*+json".',
        pattern: '^application/(?:json|\\*\\+json|[a-z0-9][a-z0-9.-]*\\+json)$',
        maxLength: 100
      }),
      {
        default: ['application/json', 'application/*+json'],
        minItems: 1,
        maxItems: 20,
        description: 'What a body may be sent as; only with "body".'
      }
    )
  },
  {
    additionalProperties: false,
    description: 'What requests have to look like before a service sees them.'
  }
)

export type ValidateOptions = Static<typeof validateSchema>

/** What of a request a schema is for. */
export const parts = ['params', 'query', 'headers', 'body'] as const

export type Part = (typeof parts)[number]
