import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { ObjectEntries } from './object.ts'
import type { Flaw, Parsed, SourceNode } from './source.ts'

/** Reads JSON with comments and trailing commas. `from` is where the text starts in a larger one that places are told in. */
export function parseJson(text: string, from = 0): Parsed {
  const errors: ParseError[] = []
  const tree = parseTree(text, errors, { allowTrailingComma: true })
  const flaws = flawsOf(text, errors)
  return { root: tree && convert(tree, flaws, from), flaws }
}

const sentences: Readonly<Record<string, string>> = {
  InvalidSymbol: 'this is neither a string in double quotes, a number, true, false nor null',
  InvalidNumberFormat: 'this is not a number',
  PropertyNameExpected: 'a key in double quotes is missing here',
  ValueExpected: 'a value is missing here',
  ColonExpected: 'a colon is missing before this',
  CommaExpected: 'a comma is missing before this',
  CloseBraceExpected: 'a closing } is missing',
  CloseBracketExpected: 'a closing ] is missing',
  EndOfFileExpected: 'the config ends before this',
  InvalidCommentToken: 'this comment is not allowed here',
  UnexpectedEndOfComment: 'this comment is not closed',
  UnexpectedEndOfString: 'this string is not closed',
  UnexpectedEndOfNumber: 'this number is not complete',
  InvalidUnicode: 'this \\u escape is not complete',
  InvalidEscapeCharacter: 'this escape is not one JSON knows',
  InvalidCharacter: 'this character has to be escaped in a string'
}

/** One slip makes a tolerant parser stumble several times: only the first stumble of a line is told. */
function flawsOf(text: string, errors: readonly ParseError[]): Flaw[] {
  const lines = new Set<number>()
  const flaws: Flaw[] = []
  for (const { error, offset, length } of errors) {
    const line = text.lastIndexOf('\n', offset - 1)
    if (lines.has(line) || flaws.length === 10) continue
    lines.add(line)
    const name = printParseErrorCode(error)
    flaws.push({
      start: offset,
      end: offset + Math.max(1, length),
      sentence:
        text.trim() === '' ? 'the file is empty' : (sentences[name] ?? 'the JSON cannot be read here'),
      harmless: name === 'CommaExpected'
    })
    // What follows an open string or comment was read as part of it, or the other way round.
    if (name.startsWith('UnexpectedEnd')) break
  }
  return flaws
}

function convert(node: Node, flaws: Flaw[], from: number): SourceNode {
  const start = from + node.offset
  const span = { start, end: start + node.length }
  if (node.type === 'array') {
    return {
      ...span,
      value: { kind: 'array', items: (node.children ?? []).map((child) => convert(child, flaws, from)) }
    }
  }
  if (node.type !== 'object') return { ...span, value: { kind: 'scalar', scalar: node.value } }
  const object = new ObjectEntries(flaws)
  for (const { children: [key, value] = [] } of node.children ?? []) {
    // A key without a value is among the flaws already.
    if (key === undefined || value === undefined) continue
    const place = { start: from + key.offset, end: from + key.offset + key.length }
    object.add(String(key.value), place, convert(value, flaws, from))
  }
  return { ...span, value: { kind: 'object', entries: object.entries } }
}
