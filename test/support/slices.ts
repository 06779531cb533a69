import { Type } from '@sinclair/typebox'
import type { Slice } from '../../config/compose.ts'
import { Duration } from '../../config/units.ts'

const closed = { additionalProperties: false }

/** Slices in the shape of the gateway's own, small enough to read beside a test. */
export const slices = [
  {
    key: 'listen',
    slice: Type.Object(
      {
        public: Type.String({ description: 'Address.', default: '0.0.0.0:8080' }),
        admin: Type.String({ description: 'Address.', default: '127.0.0.1:8082' })
      },
      { ...closed, default: {} }
    )
  },
  {
    key: 'store',
    slice: Type.Union(
      [
        Type.Object(
          {
            driver: Type.Literal('embedded', { description: 'Kind.', default: 'embedded' }),
            path: Type.String({ description: 'Folder.', default: '.toll/store' })
          },
          closed
        ),
        Type.Object(
          {
            driver: Type.Literal('redis', { description: 'Kind.' }),
            url: Type.String({ description: 'Address.', minLength: 1 })
          },
          closed
        )
      ],
      { description: 'Where state lives.', default: {} }
    )
  },
  {
    key: 'services',
    slice: Type.Record(
      Type.String({ pattern: '^[a-z][a-z0-9-]*$' }),
      Type.Object(
        {
          nodes: Type.Array(
            Type.Union([
              Type.String({
                description: 'Address.',
                pattern: '^https?://',
                examples: ['http://127.0.0.1:4001']
              }),
              Type.Object(
                {
                  url: Type.String({ description: 'Address.' }),
                  weight: Type.Integer({ description: 'Share.', minimum: 1, maximum: 100, default: 1 })
                },
                closed
              )
            ]),
            { description: 'Where it runs.', minItems: 1 }
          ),
          balance: Type.Union([Type.Literal('round-robin'), Type.Literal('least-requests')], {
            description: 'How a node is picked.',
            default: 'round-robin'
          }),
          timeouts: Type.Object(
            {
              connect: Duration({ description: 'For a connection.', default: '2s' }),
              response: Duration({ description: 'For the head of an answer.', default: '15s' })
            },
            { ...closed, description: 'Bounds.', default: {} }
          )
        },
        closed
      ),
      { description: 'Upstreams.', default: {} }
    )
  },
  {
    key: 'routes',
    slice: Type.Array(
      Type.Object(
        {
          id: Type.String({ description: 'Name.', minLength: 1 }),
          path: Type.String({ description: 'Where.', pattern: '^/', examples: ['/orders/*'] }),
          methods: Type.Array(Type.Union([Type.Literal('GET'), Type.Literal('POST')]), {
            description: 'Which.',
            default: [],
            uniqueItems: true
          }),
          service: Type.String({ description: 'Whose.' })
        },
        closed
      ),
      { description: 'Doors.', default: [] }
    )
  },
  {
    key: 'auth',
    slice: Type.Optional(
      Type.Object(
        {
          issuer: Type.String({ description: 'Who signs.' }),
          access: Duration({ description: 'How long.', default: '15m' }),
          clientSecret: Type.Optional(Type.String({ description: 'Shared.', minLength: 12, secret: true })),
          cookie: Type.Boolean({ description: 'By cookie?', default: false })
        },
        closed
      )
    ),
    route: Type.Object({
      auth: Type.Union(
        [
          Type.Literal('none'),
          Type.Literal('optional'),
          Type.Literal('required'),
          Type.Object(
            {
              mode: Type.Union([Type.Literal('optional'), Type.Literal('required')], {
                description: 'Need.',
                default: 'required'
              }),
              session: Type.Union(
                [Type.Literal('stateless'), Type.Literal('revocable'), Type.Literal('strict')],
                { description: 'How sure.', default: 'revocable' }
              )
            },
            closed
          )
        ],
        { description: 'Who may.', default: 'none' }
      )
    })
  },
  {
    key: 'limit',
    route: Type.Object({
      limit: Type.Optional(
        Type.Object(
          {
            qps: Type.Number({ description: 'How many.', exclusiveMinimum: 0, maximum: 1_000_000 }),
            slack: Type.Integer({ description: 'Burst.', minimum: 0, default: 10 }),
            by: Type.Union(
              [
                Type.Literal('subject'),
                Type.Literal('address'),
                Type.Literal('route'),
                Type.String({ pattern: '^(header|claim):.+$', examples: ['header:x-key'] })
              ],
              { description: 'Who counts as one.', default: 'address' }
            )
          },
          { ...closed, description: 'How often.' }
        )
      )
    })
  },
  {
    key: 'plugins',
    slice: Type.Array(
      Type.Object(
        {
          use: Type.String({ description: 'What.' }),
          options: Type.Record(Type.String(), Type.Unknown(), { description: 'Its own.', default: {} })
        },
        closed
      ),
      { description: 'More steps.', default: [] }
    )
  }
] as const satisfies readonly Slice[]
