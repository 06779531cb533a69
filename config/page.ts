import type { Slice } from './compose.ts'
import { type AnySchema, branchesOf, tagOf } from './schema.ts'
import { expected } from './sentence.ts'

/** The docs page of one slice, in Markdown; undefined for a slice that has nothing to configure. */
export function pageOf({ key, slice, route }: Slice): string | undefined {
  if (slice === undefined && route === undefined) return undefined
  const parts = [`# ${key}`]
  if (slice?.description !== undefined) parts.push(slice.description)
  if (slice !== undefined) {
    const whole = slice as AnySchema
    const given = whole.default === undefined ? '' : ` Left out: \`${JSON.stringify(whole.default)}\`.`
    parts.push(`Under the key \`${key}\` of the config: ${expected(whole)}.${given}`)
    const rows = rowsOf(whole, '')
    if (rows.length > 0) parts.push(table(rows))
  }
  if (route !== undefined) parts.push('## On each route', table(rowsOf(route as AnySchema, '')))
  return `${parts.join('\n\n')}\n`
}

interface Row {
  readonly name: string
  readonly schema: AnySchema
  readonly isRequired: boolean
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ name, schema, isRequired }) => {
    const fallback = schema.default === undefined ? undefined : `\`${JSON.stringify(schema.default)}\``
    const left = fallback ?? (isRequired ? '**required**' : '-')
    return `| ${[`\`${name}\``, cell(typeOf(schema)), cell(left), cell(aboutOf(schema))].join(' | ')} |`
  })
  return ['| Key | Takes | Left out | What it is |', '| --- | --- | --- | --- |', ...lines].join('\n')
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

/** What a field is, and what each of the words it takes means. */
function aboutOf(schema: AnySchema): string {
  const words = schema.anyOf === undefined ? [] : branchesOf(schema)
  const meanings = words
    .filter((word) => word.const !== undefined && word.description !== undefined)
    .map((word) => `\`${JSON.stringify(word.const)}\`: ${word.description}`)
  return [schema.description, ...meanings].filter((sentence) => sentence !== undefined).join(' ')
}

function typeOf(schema: AnySchema): string {
  const bounds = [
    schema.minimum !== undefined && `at least ${schema.minimum}`,
    schema.exclusiveMinimum !== undefined && `more than ${schema.exclusiveMinimum}`,
    schema.maximum !== undefined && `at most ${schema.maximum}`
  ].filter((bound) => bound !== false)
  const type = expected(schema)
  return bounds.length === 0 ? type : `${type}, ${bounds.join(', ')}`
}

/** Every field below a schema, named as it is reached: timeouts.connect, nodes[].url, <name>.nodes. */
function rowsOf(schema: AnySchema, prefix: string): readonly Row[] {
  const rows: Row[] = []
  const seen = new Set<string>()
  const add = (row: Row, inner: readonly Row[]): void => {
    for (const one of [row, ...inner]) {
      const mark = `${one.name} ${one.schema.description}`
      if (!seen.has(mark)) rows.push(one)
      seen.add(mark)
    }
  }
  const objects = branchesOf(schema).filter(({ properties }) => properties !== undefined)
  const tag = objects.length > 1 ? tagOf(objects) : undefined
  if (tag !== undefined) {
    const fields = objects.map(({ properties }) => properties![tag]!)
    const field = {
      anyOf: fields,
      default: fields.find((one) => one.default !== undefined)?.default
    } as unknown as AnySchema
    add({ name: prefix === '' ? tag : `${prefix}.${tag}`, schema: field, isRequired: true }, [])
  }
  for (const branch of branchesOf(schema)) {
    for (const [key, field] of Object.entries(branch.properties ?? {})) {
      if (key === tag) continue
      const name = prefix === '' ? key : `${prefix}.${key}`
      const isEverywhere = objects.every(
        ({ properties }) => properties?.[key]?.description === field.description
      )
      const only =
        tag === undefined || isEverywhere
          ? ''
          : `With \`${tag}\` ${JSON.stringify(branch.properties?.[tag]?.const)}: `
      const described = { ...field, description: only + (field.description ?? '') }
      add(
        { name, schema: described, isRequired: branch.required?.includes(key) ?? false },
        rowsOf(field, name)
      )
    }
    for (const entry of Object.values(branch.patternProperties ?? {})) {
      const name = prefix === '' ? '<name>' : `${prefix}.<name>`
      for (const row of rowsOf(entry, name)) add(row, [])
    }
    if (branch.items !== undefined && !Array.isArray(branch.items)) {
      for (const row of rowsOf(branch.items as AnySchema, `${prefix}[]`)) add(row, [])
    }
  }
  return rows
}
