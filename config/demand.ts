import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import type { AnySchema } from './schema.ts'
import { expected, orList, quoted } from './sentence.ts'

/** What a schema demanded, as the middle of a sentence. */
export function demand({ type, schema }: ValueError): string {
  const examples = schema.examples as readonly string[] | undefined
  switch (type) {
    case ValueErrorType.IntegerMinimum:
    case ValueErrorType.NumberMinimum:
      return `must be at least ${schema.minimum}`
    case ValueErrorType.IntegerMaximum:
    case ValueErrorType.NumberMaximum:
      return `must be at most ${schema.maximum}`
    case ValueErrorType.IntegerExclusiveMinimum:
    case ValueErrorType.NumberExclusiveMinimum:
      return `must be more than ${schema.exclusiveMinimum}`
    case ValueErrorType.IntegerExclusiveMaximum:
    case ValueErrorType.NumberExclusiveMaximum:
      return `must be less than ${schema.exclusiveMaximum}`
    case ValueErrorType.IntegerMultipleOf:
    case ValueErrorType.NumberMultipleOf:
      return `must be a multiple of ${schema.multipleOf}`
    case ValueErrorType.StringMinLength:
      return schema.minLength === 1
        ? 'must not be empty'
        : `must have at least ${schema.minLength} characters`
    case ValueErrorType.StringMaxLength:
      return `must have at most ${schema.maxLength} characters`
    case ValueErrorType.StringPattern:
    case ValueErrorType.RegExp:
      return examples?.length
        ? `must look like ${orList(quoted(examples))}`
        : `must match ${schema.pattern}${meaning(schema)}`
    case ValueErrorType.ArrayMinItems:
      return schema.minItems === 1 ? 'must not be empty' : `must have at least ${schema.minItems} items`
    case ValueErrorType.ArrayMaxItems:
      return `must have at most ${schema.maxItems} items`
    case ValueErrorType.ArrayUniqueItems:
      return 'must not name anything twice'
    case ValueErrorType.ObjectMinProperties:
      return schema.minProperties === 1
        ? 'must not be empty'
        : `must have at least ${schema.minProperties} keys`
    case ValueErrorType.ObjectMaxProperties:
      return `must have at most ${schema.maxProperties} keys`
    case ValueErrorType.StringFormatUnknown:
      throw new TypeError(`the schema names the format "${schema.format}", which nothing checks`)
    default:
      return `must be ${expected(schema as AnySchema)}`
  }
}

/** What a pattern is there for, when that is said shortly. */
function meaning({ description }: ValueError['schema']): string {
  return description !== undefined && description.length <= 100 ? ` (${description.replace(/\.$/, '')})` : ''
}

/** What was probably meant by a string that does not match its pattern: a slip that a person would see at once. */
export function repair({ type, schema, value }: ValueError): string | undefined {
  if (type !== ValueErrorType.StringPattern || typeof value !== 'string' || !schema.pattern) return undefined
  const pattern = new RegExp(schema.pattern)
  const candidates = [...measures(value), value.trim(), value.toUpperCase(), value.toLowerCase(), `/${value}`]
  if (!value.includes('://')) candidates.push(`http://${value}`)
  return candidates.find((candidate) => pattern.test(candidate))
}

/** "2 sec" and "4 mb" as durations and sizes are read here. */
function measures(value: string): string[] {
  const [, amount, word] = /^\s*(\d+)\s*([a-z]+)\s*$/i.exec(value) ?? []
  if (amount === undefined || word === undefined) return []
  const unit = word.toLowerCase()
  const short = /^(ms|milli)/.test(unit) ? 'ms' : unit.charAt(0)
  return [`${amount}${word}`, `${amount}${short}`, `${amount}${unit.charAt(0).toUpperCase()}iB`]
}
