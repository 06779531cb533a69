import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance } from 'fastify'
import { AmbiguousPath, BadRequest, NotFound } from '../../errors.ts'
import {
  type Account,
  accessRules,
  partsOf,
  type Resource,
  type Rule
} from '../../services/identity/rules.ts'
import { normalise } from '../table/normalise.ts'
import { call } from './call.ts'

const text = (description: string, maxLength = 255) => Type.String({ description, minLength: 1, maxLength })
const closed = { additionalProperties: false } as const

const Question = Type.Object(
  {
    account: Type.Union(
      [
        Type.Null({ description: 'Nobody is signed in.' }),
        Type.Object(
          {
            scopes: Type.Array(text('One scope.', 128), { description: 'What it may do.', maxItems: 256 }),
            isOwn: Type.Optional(
              Type.Boolean({ description: 'Whether the issuer is the one of the gateway.' })
            ),
            issuer: Type.Optional(text('The issuer, in place of `isOwn`.')),
            subject: Type.Optional(text('Who it is; no rule is about that.'))
          },
          { ...closed, description: 'Who asks.' }
        )
      ],
      { description: 'Who asks.' }
    ),
    resource: Type.Union(
      [
        Type.String({ description: 'type:name:endpoint.', pattern: '^[^:]+:[^:]+:.+$', maxLength: 1200 }),
        Type.Object(
          {
            type: text('Such as "service".', 1024),
            name: text('Of the service.', 1024),
            endpoint: text('Such as a path.', 1024)
          },
          { ...closed, description: 'The same in three parts.' }
        )
      ],
      { description: 'What is asked for.' }
    )
  },
  closed
)

type Question = Static<typeof Question>

/** Answers whether the access rules let an account use a resource, with the decision that requests get. */
export function registerVerify(
  admin: FastifyInstance,
  rules: readonly Rule[] | undefined,
  issuer: string | undefined
): void {
  admin.post(
    '/admin/verify',
    call('Say whether the access rules let an account use a resource.', { role: 'read', body: Question }),
    async ({ body }) => {
      const { account, resource } = questionOf(body)
      if (rules === undefined) throw NotFound(['config key', 'rules'], { reason: 'rules' })
      const { type, name, endpoint } = asSeen(partsOf(resource))
      const { allowed, rule } = accessRules(rules, { type, name })(accountOf(account, issuer), endpoint)
      return { allowed, rule: rule ?? null }
    }
  )
}

function questionOf(body: unknown): Question {
  if (!Value.Check(Question, body)) {
    const at = placeOf(body)
    throw BadRequest(
      [
        `The value at ${at} is not what belongs there; send {"account": {"scopes": []} or null, "resource": "type:name:endpoint"}.`
      ],
      { reason: 'body_field' }
    )
  }
  const { account } = body
  if (account?.isOwn !== undefined && account.issuer !== undefined) {
    throw BadRequest(['"isOwn" and "issuer" say the same; send one.'], { reason: 'body_field' })
  }
  return body
}

/** TypeBox tells of a union only that no branch fits; the branch that was meant says where. */
function placeOf(body: unknown): string {
  const first = Value.Errors(Question, body).First()
  if (first === undefined) return '/'
  const inner = first.errors.flatMap((errors) => [...errors]).filter(({ path }) => path !== first.path)
  return inner[0]?.path ?? (first.path || '/')
}

/** A path is compared as a request's is, in its one normal form. */
function asSeen({ type, name, endpoint }: Resource): Resource {
  if (type.toLowerCase() !== 'service' || !endpoint.startsWith('/')) return { type, name, endpoint }
  const { resource, refusal } = normalise(endpoint)
  if (refusal !== undefined) throw AmbiguousPath([refusal], { reason: 'path' })
  return { type, name, endpoint: resource }
}

const accountOf = (account: Question['account'], issuer: string | undefined): Account | undefined =>
  account === null
    ? undefined
    : {
        scopes: account.scopes,
        isOwn: account.issuer === undefined ? (account.isOwn ?? true) : account.issuer === issuer
      }
