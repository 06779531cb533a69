import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TSchema } from '@sinclair/typebox'
import t from 'tap'
import { slices } from '../app.ts'
import { schemaOf } from '../config/compose.ts'

/** The house as architecture asks for it: who may import whom, how long a file may be, what it may be called. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const floors = [
  ['config', 'errors.ts'],
  ['services'],
  ['plugins'],
  ['routes'],
  ['app.ts'],
  ['gateway.ts'],
  ['bin', 'index.ts']
]

/** Longer than a logic file may be, because they are tables. */
const tables = new Set(['errors.ts'])

const sources = ['bin', 'config', 'plugins', 'routes', 'services']
  .flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' }).map((file) => join(room, file))
  )
  .concat(readdirSync(root))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))

const floorOf = (file: string): number => floors.findIndex((rooms) => rooms.includes(file.split('/')[0]!))

const importsOf = (file: string): string[] => {
  const text = readFileSync(join(root, file), 'utf8')
  const paths = text.matchAll(/(?: from |^import |import\()'(\.[^']+)'/gm)
  return [...paths].map(([, path]) => relative(root, resolve(root, dirname(file), path!)))
}

t.test('every source file stands on a floor', async (t) => {
  t.ok(sources.length > 20)
  for (const file of sources) t.not(floorOf(file), -1, file)
})

t.test('imports go only downward', async (t) => {
  for (const file of sources) {
    for (const to of importsOf(file)) t.ok(floorOf(to) <= floorOf(file), `${file} may import ${to}`)
  }
})

t.test('two plugins never import each other', async (t) => {
  const roomOf = (file: string) => file.split('/').slice(0, 2).join('/')
  const isPlugin = (file: string) => readFileSync(join(root, file), 'utf8').includes('definePlugin({')
  const rooms = new Set(sources.filter((file) => file.startsWith('plugins/') && isPlugin(file)).map(roomOf))
  t.ok(rooms.size > 8)
  for (const file of sources.filter((name) => rooms.has(roomOf(name)))) {
    for (const to of importsOf(file).filter((path) => rooms.has(roomOf(path)))) {
      t.equal(roomOf(to), roomOf(file), `${file} may import ${to}`)
    }
  }
})

t.test('services know neither Fastify nor a reply', async (t) => {
  for (const file of sources.filter((name) => name.startsWith('services/'))) {
    const text = readFileSync(join(root, file), 'utf8')
    t.notMatch(text, /from '(fastify|@fastify\/(?!error)[^']*)'/, file)
  }
})

t.test('logic files have at most 300 lines', async (t) => {
  for (const file of sources.filter((name) => !tables.has(name))) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n').length - 1
    t.ok(lines <= 300, `${file} has ${lines}`)
  }
})

t.test('names are in kebab-case, and no file is a drawer for leftovers', async (t) => {
  const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  for (const file of sources.concat(tests.filter((name) => name.endsWith('.ts')))) {
    const name = file.split('/').at(-1)!
    t.match(name, /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|alone))?\.ts$/, file)
    t.notMatch(name, /^(utils?|helpers?|common|misc)\./, file)
  }
})

t.test('every field of the config has a description, and every object refuses unknown keys', async (t) => {
  const visit = (schema: TSchema, path: string): void => {
    for (const [key, field] of Object.entries<TSchema>(schema.properties ?? {})) {
      t.type(field.description, 'string', `${path}/${key} has a description`)
      visit(field, `${path}/${key}`)
    }
    if (schema.type === 'object' && schema.properties !== undefined) {
      t.equal(schema.additionalProperties, false, `${path || '/'} refuses unknown keys`)
    }
    if (schema.items !== undefined && !Array.isArray(schema.items)) visit(schema.items, `${path}/*`)
    for (const [pattern, field] of Object.entries<TSchema>(schema.patternProperties ?? {})) {
      visit(field, `${path}/${pattern}`)
    }
    for (const branch of schema.anyOf ?? []) visit(branch, path)
  }
  visit(schemaOf(slices), '')
})
