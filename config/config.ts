import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Type } from '@sinclair/typebox'
import { type ConfigOf, closed, type Slice, schemaOf } from './compose.ts'
import { Findings } from './findings.ts'
import { deepFreeze } from './freeze.ts'
import { type Interpolation, interpolate } from './interpolate.ts'
import type { ConfigMemory } from './memory.ts'
import { type Check, ConfigError, type Mistake, type Report } from './mistake.ts'
import { inTurns, Pace } from './pace.ts'
import { keysOf } from './pointer.ts'
import { readSource } from './read.ts'
import { maskText, redact } from './redact.ts'
import { revisionOf } from './revision.ts'
import { Shape } from './shape.ts'
import { soundPart } from './sound.ts'
import { plainOf, type Source } from './source.ts'

export interface LoadedConfig<Slices extends readonly Slice[] = readonly Slice[]> {
  /** Everything in the file and every default, deeply frozen. */
  readonly value: ConfigOf<Slices>
  /** Short hash of the content, references replaced: the same content has the same revision wherever it is read. */
  readonly revision: string
  /** Absolute path of the file. */
  readonly path: string
  /** What relative paths in the config are relative to. */
  readonly directory: string
  /** Absolute paths of the files it names with `${file:}`: a change of one is a change of the config. */
  readonly files: readonly string[]
  /** The file as it was written, references kept, secrets as "[secret]". */
  readonly redacted: unknown
  /** The same with its secrets: to be compared, never shown. */
  readonly plain: unknown
  /** The text as it was read, byte order mark left out: it may hold secrets, and is never shown. */
  readonly written: string
  readonly warnings: readonly Mistake[]
  /** The text that was read, secrets starred out, for the code frames of warnings; '' without any. */
  readonly text: string
}

/** What a config loads by itself (`plugins: [...]`): more route fields, and the schema of a place that the slices leave open. */
export interface Extension extends Slice {
  /** JSON pointer of the value that `slice` describes, such as /plugins/0/options. */
  readonly at: string
}

export interface LoadOptions<Slices extends readonly Slice[]> {
  readonly path: string
  readonly slices: Slices
  readonly checks?: readonly Check[]
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Validates this text as if it were in the file. */
  readonly text?: string
  /** What the config before left; this one leaves there what it has when it is accepted. */
  readonly memory?: ConfigMemory
  /** Asked with the config as written, references replaced and nothing checked yet. */
  readonly extend?: (config: unknown, report: Report, directory: string) => Promise<readonly Extension[]>
}

/** Reads, interpolates, validates and freezes a config file. Throws a ConfigError with everything that is wrong with it. */
export async function loadConfig<const Slices extends readonly Slice[]>(
  options: LoadOptions<Slices>
): Promise<LoadedConfig<Slices>> {
  const { slices, checks = [], env = process.env, extend, memory } = options
  const path = resolve(options.path)
  const directory = dirname(path)
  const pace = new Pace()
  const source = await readSource(options.path, options.text ?? (await readText(options.path)), pace, memory)
  const findings = new Findings(source)
  for (const flaw of source.flaws) findings.addFlaw('', flaw)
  if (source.flaws.some(({ harmless }) => harmless !== true)) throw findings.error()

  const known = source.pieces?.known ?? new Set()
  const interpolation = await interpolate(source, { env, directory })
  findings.hide(interpolation.inserted)
  for (const flaw of interpolation.flaws) findings.addFlaw(flaw.pointer, flaw)

  const extensions = (await extend?.(interpolation.value, findings.report(), directory)) ?? []
  const shape = memory?.shapeFor(extensions) ?? shapeOf(slices, extensions)
  if (memory !== undefined && shape !== memory.shapeFor(extensions)) {
    memory.reshape(shape, extensions)
    // What was known was known by another schema.
    if (known.size > 0) return loadConfig(options)
  }
  const value = await shape.withDefaults(coerceReferences(interpolation, shape), known, pace)
  const found = await shape.validate(value, pace, {
    known,
    hidden: (pointer) => {
      const reference = interpolation.references.get(pointer)
      if (reference !== undefined) return `what ${reference.label} stands for`
      return shape.isSecret(pointer) ? 'a secret' : undefined
    }
  })
  await findings.addAll(found, pace)
  await runChecks(checks, value, findings, pace)
  if (findings.hasErrors) throw findings.error(maskText(source, shape), interpolation.files)
  const warnings = findings.mistakes()
  await deepFreeze(value, pace)
  if (memory !== undefined) keep(source, value, memory)
  return {
    value: value as ConfigOf<Slices>,
    revision: await revisionOf(value as object, pace, memory),
    path,
    directory,
    files: interpolation.files,
    get redacted() {
      return redact(source, shape)
    },
    get plain() {
      return source.root && plainOf(source.root, (_, scalar) => scalar)
    },
    written: source.text,
    warnings,
    get text() {
      return warnings.length > 0 ? maskText(source, shape) : ''
    }
  }
}

/** A file larger than this is not a config. */
const maxConfigBytes = 16 * 1024 * 1024

async function readText(path: string): Promise<string> {
  const refuse = (sentence: string): ConfigError =>
    new ConfigError([{ file: path, line: 1, column: 1, length: 1, pointer: '', severity: 'error', sentence }])
  try {
    const found = await stat(path)
    if (!found.isFile()) throw refuse('this is not a file')
    if (found.size > maxConfigBytes) throw refuse('the file is larger than 16 MiB')
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') throw refuse('there is no such file')
    throw refuse(code === 'EACCES' ? 'this user may not read the file' : `the file cannot be read (${code})`)
  }
}

function shapeOf(slices: readonly Slice[], extensions: readonly Extension[]): Shape {
  const fragments = extensions.map(({ key, route }) => ({ key, ...(route && { route }) }))
  // Options of a plugin that has no schema are read by nobody.
  const places = extensions.map(({ at, slice }) => ({ at, schema: closed(slice ?? Type.Object({})) }))
  return new Shape(schemaOf([...slices, ...fragments]), places)
}

function coerceReferences({ value, references }: Interpolation, shape: Shape): unknown {
  const whole = { '': value }
  for (const [pointer, reference] of references) {
    if (!reference.whole) continue
    const keys = ['', ...keysOf(pointer)]
    const last = keys.pop()!
    const parent = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], whole)
    const entries = parent as Record<string, unknown>
    entries[last] = shape.coerce(pointer, String(entries[last]))
  }
  return whole['']
}

async function runChecks(
  checks: readonly Check[],
  value: unknown,
  findings: Findings,
  pace: Pace
): Promise<void> {
  const isSound = !findings.hasErrors
  const sound = isSound ? undefined : soundPart(value, findings.pointers)
  for (const check of checks) {
    try {
      const turns =
        sound === undefined || check.tolerant === true
          ? check(value as never, findings.report())
          : check(sound.config as never, findings.report(sound.original))
      if (turns !== undefined) await inTurns(turns, pace)
    } catch (error) {
      // A check may stumble over what the schema refused already; it is asked again once that is mended.
      if (isSound) throw error
    }
    await pace.rest()
  }
}

/** Leaves the items of lists that refer to nothing to the next config. */
function keep({ pieces }: Source, value: unknown, memory: ConfigMemory): void {
  for (const [name, texts] of pieces?.texts ?? []) {
    const items = (value as Readonly<Record<string, unknown>>)[name] as readonly unknown[]
    for (const [index, text] of texts.entries()) {
      const item = items[index]
      if (text === undefined || typeof item !== 'object' || item === null || pieces!.known.has(item)) continue
      memory.keep(name, text, item)
    }
  }
  memory.sweep()
}
