import type { Check, Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { toBytes } from '../../config/units.ts'
import { compileSchema, type JSONSchema, SchemaError } from './schema.ts'
import { type Part, parts, type ValidateOptions } from './slice.ts'

interface Validated {
  readonly routes: readonly {
    readonly path: string
    readonly maxBody: string
    readonly validate?: ValidateOptions
  }[]
}

/** A body up to this size is read and judged without anybody noticing. */
const easy = 1024 * 1024

/** Every schema can be used, and is for something that its requests have. */
export const validateOptions: Check = function* ({ routes }: Validated, report) {
  for (const [index, { path, maxBody, validate }] of routes.entries()) {
    yield
    if (validate === undefined) continue
    const at = pointerOf('routes', index, 'validate')
    for (const part of parts) {
      const schema = validate[part]
      if (schema !== undefined) checkSchema(part, schema, at + pointerOf(part), path, report)
      yield
    }
    if (parts.every((part) => validate[part] === undefined)) {
      report.error(at, 'it has none of "body", "query", "params" and "headers"')
    }
    if (validate.body !== undefined && toBytes(maxBody) > easy) {
      report.warning(
        at + pointerOf('body'),
        `a body of up to ${maxBody} is held and judged as a whole; give the route a "maxBody" of 1MiB or less`
      )
    }
  }
}

function checkSchema(part: Part, schema: JSONSchema, at: string, path: string, report: Report): void {
  try {
    compileSchema(schema)
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error
    report.error(at + error.pointer, error.message)
    return
  }
  if (part === 'params') checkParameters(schema, at, path, report)
  if (part === 'headers') checkNames(schema, at, report)
}

function checkParameters(schema: JSONSchema, at: string, path: string, report: Report): void {
  const names = path.startsWith('~') ? [] : [...path.matchAll(/\/:([^/]+)/g)].map(([, name]) => name!)
  if (names.length === 0) {
    report.error(at, `the path "${path}" has no parameters`)
    return
  }
  for (const name of Object.keys((schema.properties ?? {}) as object)) {
    if (names.includes(name)) continue
    report.error(at + pointerOf('properties', name), `the path "${path}" has no parameter ":${name}"`)
  }
}

function checkNames(schema: JSONSchema, at: string, report: Report): void {
  for (const name of Object.keys((schema.properties ?? {}) as object)) {
    if (name === name.toLowerCase()) continue
    report.error(
      at + pointerOf('properties', name),
      'names of headers are compared in lower case',
      name.toLowerCase()
    )
  }
  for (const [index, name] of ((schema.required ?? []) as readonly string[]).entries()) {
    if (name === name.toLowerCase()) continue
    report.error(
      at + pointerOf('required', index),
      'names of headers are compared in lower case',
      name.toLowerCase()
    )
  }
}
