import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { entityTag } from '../../config/entity-tag.ts'
import { unmask } from '../../config/unmask.ts'
import { replaceConfig } from '../../config/write.ts'
import { BadRequest, NotFound, UnsupportedMediaType } from '../../errors.ts'
import { call } from './call.ts'
import type { Change, Control, Edit, ReloadResult } from './control.ts'
import { type Precondition, preconditionIn, preconditionOf } from './if-match.ts'

const yamlTypes = ['application/yaml', 'application/x-yaml', 'text/yaml']
/** What a config may be sent as. */
const types = ['application/json', 'text/plain', ...yamlTypes]

const Revision = Type.Object(
  { revision: Type.String({ description: 'As the history lists it.', pattern: '^[0-9a-f]{12}$' }) },
  { additionalProperties: false }
)

/** The config as it was written (nothing interpolated, secrets masked), reading it again, another one, and those before. */
export async function registerConfig(
  admin: FastifyInstance,
  control: Control,
  maxConfig: number
): Promise<void> {
  /** Has all workers read what this one has read, or was sent. */
  const reload = async (reason: string, change: Change & { readonly by: string }): Promise<ReloadResult> => {
    const result = await control.reload(reason, change)
    if (result.outcome !== 'refused') await control.processes.crew?.reload(reason, change.by)
    return result
  }

  admin.get(
    '/admin/config',
    call('Show the config that serves, as it was written, secrets masked.'),
    async (_request, reply) =>
      reply
        .header('etag', entityTag(control.config))
        .header('cache-control', 'no-store')
        .send(control.config.redacted)
  )

  admin.post(
    '/admin/config/reload',
    call('Read the config file again.', { what: 'config.reload', ifMatch: 'optional' }),
    async (request, reply) => {
      const { expect } = preconditionIn(request.headers['if-match']) ?? {}
      const by = subjectOf(request)
      const result = await reload('the admin API asked', { by, ...(expect && { expect }) })
      return answer(request, reply, result)
    }
  )

  admin.get('/admin/config/history', call('List the configs that served, the newest first.'), async () => ({
    serving: control.config.revision,
    revisions: await control.record.history.list()
  }))

  admin.post(
    '/admin/config/rollback',
    call('Put a config that served before into the file, and have it serve.', {
      what: 'config.rollback',
      body: Revision,
      ifMatch: 'required'
    }),
    async (request, reply) => {
      const precondition = preconditionOf(request.headers['if-match'])
      const revision = revisionIn(request.body)
      request.told = { to: revision }
      const result = await reload(`rolled back to ${revision}`, {
        by: subjectOf(request),
        expect: precondition.expect,
        edit: async ({ path, written }) => {
          const text = await control.record.history.find(revision)
          if (text === undefined) throw NotFound(['kept revision', revision], { reason: 'revision' })
          return editOf(path, { text, refused: [] }, written, precondition)
        }
      })
      return answer(request, reply, result)
    }
  )

  // In a scope of its own: nothing else here takes a text for a body.
  await admin.register(async (admin) => {
    admin.removeContentTypeParser(types.slice(0, 2))
    admin.addContentTypeParser(types, { parseAs: 'string' }, (_request, body, done) => done(null, body))

    admin.put(
      '/admin/config',
      {
        bodyLimit: maxConfig,
        ...call('Put another config into the file, and have it serve.', {
          what: 'config.replace',
          body: Type.Unknown({ description: 'The whole config, as gateway.schema.json describes it.' }),
          takes: types,
          ifMatch: 'required'
        })
      },
      async (request, reply) => {
        const precondition = preconditionOf(request.headers['if-match'])
        refuseForeign(request.headers['content-type'], control.config.path)
        const text = (request.body as string | undefined) ?? ''
        const result = await reload('another config was sent', {
          by: subjectOf(request),
          expect: precondition.expect,
          edit: async (serving) =>
            editOf(serving.path, await unmask(serving.path, text, serving), serving.written, precondition)
        })
        return answer(request, reply, result)
      }
    )
  })
}

const editOf = (
  path: string,
  unmasked: Pick<Edit, 'text' | 'refused'>,
  written: string,
  { isAny }: Precondition
): Edit => ({
  ...unmasked,
  commit: () => replaceConfig(path, unmasked.text, isAny ? undefined : written)
})

const subjectOf = ({ exchange }: FastifyRequest): string => exchange.principal?.subject ?? '-'

/** JSON is YAML, but YAML is not JSON. */
function refuseForeign(type: string | undefined, path: string): void {
  const [named = ''] = (type ?? '').toLowerCase().split(';')
  if (!yamlTypes.includes(named.trim()) || /\.ya?ml$/i.test(path)) return
  throw UnsupportedMediaType([named.trim(), 'application/json: the config file is JSON'], {
    reason: 'content_type'
  })
}

function revisionIn(body: unknown): string {
  const { revision, ...others } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >
  if (typeof revision === 'string' && /^[0-9a-f]{12}$/.test(revision) && Object.keys(others).length === 0) {
    return revision
  }
  throw BadRequest(
    ['That is no revision: GET /admin/config/history ("toll history") lists them; send {"revision": "..."}.'],
    {
      reason: 'body_field'
    }
  )
}

function answer(request: FastifyRequest, reply: FastifyReply, result: ReloadResult): FastifyReply {
  const { etag, ...told } = result
  const { outcome, revision, changes = [], mistakes } = told
  if (outcome === 'refused') {
    throw BadRequest([`The config was refused, the old one serves on.\n${mistakes}`], {
      reason: 'config_refused'
    })
  }
  request.told = { to: request.told?.to ?? revision, detail: { outcome, revision, changes } }
  if (etag !== undefined) reply.header('etag', etag)
  return reply.send(told)
}
