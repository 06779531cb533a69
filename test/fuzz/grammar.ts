import { type AnswerCase, poison } from './answer-case.ts'
import type { Random } from './random.ts'

/**
 * Makes answers by the grammar of RFC 9112, each with none, one or a few things wrong with it: in every place where readers are known
 * to differ.
 */
export function madeAnswer(random: Random): AnswerCase {
  // Much wrong in one answer hides what is wrong: most have little.
  const writer = new AnswerWriter(random, random.pick([0, 0.02, 0.05, 0.15]))
  const method = random.chance(0.12) ? 'HEAD' : 'GET'
  return { method, bytes: writer.write(), isClosed: random.chance(0.6) }
}

class AnswerWriter {
  readonly #random: Random
  readonly #wrong: number

  constructor(random: Random, wrong: number) {
    this.#random = random
    this.#wrong = wrong
  }

  write(): string {
    const random = this.#random
    let bytes = ''
    if (random.chance(0.12)) bytes += this.#interim()
    const { fields, body } = this.#framing()
    const all = [...random.some(5, () => this.#field()), ...fields]
    if (random.chance(0.5)) all.reverse()
    bytes += this.#head(all) + body
    if (random.chance(0.12)) bytes += this.#excess()
    if (random.chance(0.06)) bytes = bytes.slice(0, random.below(bytes.length))
    return bytes
  }

  /** Something right nearly always, else something odd. */
  #or<T>(right: readonly T[], odd: readonly T[]): T {
    return this.#random.chance(this.#wrong) ? this.#random.pick(odd) : this.#random.pick(right)
  }

  #end(): string {
    return this.#or(['\r\n'], ['\n', '\r', '\r\r\n', '\n\r\n', '\r\n ', '\r\n\t', ' \r\n', '\0\r\n'])
  }

  #head(fields: readonly string[]): string {
    const version = this.#or(
      ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'],
      [
        'HTTP/1.2',
        'HTTP/2.0',
        'HTTP/0.9',
        'http/1.1',
        'HTTP/1.11',
        'HTTP/11',
        ' HTTP/1.1',
        '\r\nHTTP/1.1',
        'ICY',
        'RTSP/1.0',
        ''
      ]
    )
    const space = this.#or([' '], ['  ', '\t', '', '\v', '\u00a0'])
    const status = this.#or(
      ['200', '200', '200', '404', '500', '204', '304', '206', '301', '299', '599', '205'],
      ['20', '2000', '000', '099', '600', '999', '+20', '2 0', '-20', '0x2', '101', '102', '199', '2\u00b20']
    )
    const reason = this.#or(
      [' OK', ' Not Found', ' ', ''],
      [' \u00e9t\u00e9', ' a\0b', ' a\u007fb', ' a\tb', '\tOK', ' a\rb', 'OK', ' \u001b[0m', '  two']
    )
    let head = `${version}${space}${status}${reason}${this.#end()}`
    for (const field of fields) head += field + this.#end()
    return head + this.#or(['\r\n'], ['\n', '', '\r', ' \r\n', '\r\n\r\n', '\0\r\n'])
  }

  #field(): string {
    const name = this.#or(
      ['X-A', 'Server', 'Date', 'ETag', 'content-type', 'Set-Cookie', 'Vary', 'X_b', "x!#$%&'*+-.^`|~9"],
      [
        '',
        ' X',
        'X ',
        'X\t',
        'X\0',
        'X\u007f',
        'X\u00e9',
        'a b',
        'X(',
        'X"',
        'X/',
        'X@',
        '\u000bX',
        'Content-Length\u0000',
        'Trailer',
        'Upgrade',
        'Connection',
        'Keep-Alive'
      ]
    )
    const colon = this.#or(
      [': ', ':', ':\t', ':  '],
      [' : ', ' :', '', '::', ':\r\n ', '=', ': \r\n\t', ':\u000b']
    )
    const value = this.#or(
      [
        'a',
        'text/html',
        'Tue, 15 Nov 1994 08:12:31 GMT',
        'a, b',
        '"x"',
        '',
        'a \t',
        'caf\u00e9',
        'a:b',
        'close',
        'a=1; Path=/'
      ],
      [
        'a\0b',
        'a\u0001',
        'a\u007f',
        'a\r\n b',
        'a\rb',
        'a\nb',
        '\u0000',
        'x'.repeat(3000),
        '\u0085',
        'a\u000b',
        'keep-alive',
        'timeout=5',
        'Close, x'
      ]
    )
    return `${name}${colon}${value}`
  }

  #framing(): { fields: string[]; body: string } {
    const random = this.#random
    const content = this.#content()
    const length = `Content-Length: ${content.length}`
    const kind = this.#or(
      ['length', 'length', 'chunked', 'chunked', 'close', 'none'],
      ['odd-length', 'odd-encoding', 'both', 'twice']
    )
    switch (kind) {
      case 'length':
        return { fields: [length], body: content }
      case 'chunked':
        return { fields: ['Transfer-Encoding: chunked'], body: this.#chunks(content) }
      case 'close':
        return { fields: ['Connection: close'], body: content }
      case 'odd-length':
        return { fields: [this.#oddLength(content.length)], body: content }
      case 'odd-encoding':
        return { fields: [this.#oddEncoding()], body: random.chance(0.8) ? this.#chunks(content) : content }
      case 'both': {
        const fields = [
          random.chance(0.5) ? length : this.#oddLength(content.length),
          random.chance(0.5) ? 'Transfer-Encoding: chunked' : this.#oddEncoding()
        ]
        return { fields, body: random.chance(0.5) ? this.#chunks(content) : content }
      }
      case 'twice': {
        const second = random.pick([
          length,
          `Content-Length: ${content.length + 1}`,
          'Content-Length: 0',
          'content-length:',
          this.#oddLength(content.length)
        ])
        return { fields: [length, second], body: content }
      }
      default:
        return { fields: random.pick([[], ['Content-Length: 0'], ['Connection: keep-alive']]), body: '' }
    }
  }

  #oddLength(length: number): string {
    const name = this.#random.pick([
      'Content-Length:',
      'content-length:',
      'Content-Length :',
      'Content_Length:',
      'Content-Length\t:',
      ' Content-Length:',
      'Content-Length:\r\n'
    ])
    const value = this.#random.pick([
      `+${length}`,
      `-${length}`,
      `${length}, ${length}`,
      `${length},${length + 1}`,
      `0${length}`,
      `0x${length.toString(16)}`,
      `${length}.0`,
      `${length} 0`,
      ` ${length}`,
      `\t${length} `,
      `${length}\0`,
      `${length};`,
      '',
      ' ',
      `"${length}"`,
      `${length}e0`,
      '99999999999999999999',
      '9007199254740993',
      '18446744073709551616',
      `${length + 1}`,
      `${Math.max(0, length - 1)}`,
      `${length}a`,
      '\u0661',
      `0${'0'.repeat(20)}${length}`,
      `${length}\u000b`
    ])
    return `${name} ${value}`
  }

  #oddEncoding(): string {
    const name = this.#random.pick([
      'Transfer-Encoding:',
      'transfer-encoding:',
      'Transfer-Encoding :',
      'Transfer_Encoding:',
      'Transfer-Encoding\t:',
      'Transfer-Encoding:\r\n'
    ])
    const value = this.#random.pick([
      'CHUNKED',
      'chunked, chunked',
      'gzip, chunked',
      'chunked, gzip',
      'gzip',
      'identity',
      'xchunked',
      'chunkedx',
      'chunked;a=b',
      '"chunked"',
      'chunked,',
      ',chunked',
      ' chunked ',
      '\tchunked',
      '\u000bchunked',
      'chunked\0',
      'chunked\u0000',
      '',
      'chun ked',
      'identity, chunked',
      'chunked\r\nTransfer-Encoding: identity',
      'chunked\r\nTransfer-Encoding: chunked',
      'chunk',
      '\u00a0chunked',
      'c\u0000hunked'
    ])
    return `${name} ${value}`
  }

  #content(): string {
    const random = this.#random
    return random.pick([
      '',
      'a',
      'hello',
      '0\r\n\r\n',
      '\r\n',
      '\0\u00ff\u0080',
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      '5\r\nhello\r\n0\r\n\r\n',
      'x'.repeat(random.below(300)),
      'y'.repeat(8190 + random.below(5)),
      random.chance(0.1) ? 'z'.repeat(random.below(70_000)) : 'z'
    ])
  }

  #chunks(content: string): string {
    const random = this.#random
    let bytes = ''
    for (let at = 0; at < content.length; ) {
      const size = Math.max(1, Math.min(content.length - at, random.pick([1, 5, 100, 4096, 65_536])))
      const digits = size.toString(16)
      const line = this.#or(
        [
          digits,
          digits,
          digits.toUpperCase(),
          `0${digits}`,
          `${digits};a=b`,
          `${digits};a`,
          `${digits};a="b;\\"c"`
        ],
        [
          `+${digits}`,
          `-${digits}`,
          `0x${digits}`,
          ` ${digits}`,
          `${digits} `,
          `${digits}\t`,
          `${digits} ;a`,
          `${digits}; a`,
          `${digits};`,
          `${digits};\0`,
          `${digits};a=\u0001`,
          `${digits};a\nb`,
          `${digits};a\rb`,
          `${digits}g`,
          `${size + 1}`,
          `${Math.max(0, size - 1)}`,
          '',
          `${'0'.repeat(15)}${digits}`,
          `ffffffffffffffff`,
          `1${'0'.repeat(16)}`,
          `${digits};a="\u00e9"`,
          `${digits};"`,
          `${digits},`,
          `${digits};a=b;c`,
          `${digits};${'e'.repeat(5000)}`,
          `${digits}\0`,
          `${digits};a="b`
        ]
      )
      bytes += line + this.#or(['\r\n'], ['\n', '\r', '', '\r\r\n', ' \r\n', '\r\n\r\n'])
      bytes += content.slice(at, at + size)
      bytes += this.#or(['\r\n'], ['\n', '', '\r', '\r\r\n', ' \r\n', 'x\r\n', '\r\n\r\n', '\0\r\n'])
      at += size
    }
    bytes +=
      this.#or(['0', '0', '00', '0;last'], ['', '0 ', '-0', '0x0', '+0', '0;', '00000000000000000', 'O']) +
      this.#or(['\r\n'], ['\n', '', '\r'])
    for (const trailer of random.some(random.chance(0.25) ? 3 : 0, () => this.#trailer()))
      bytes += trailer + this.#end()
    return bytes + this.#or(['\r\n'], ['\n', '', '\r', 'x\r\n', ' \r\n'])
  }

  #trailer(): string {
    return this.#random.chance(0.8)
      ? this.#field()
      : this.#random.pick([
          'Content-Length: 5',
          'Transfer-Encoding: chunked',
          'Transfer-Encoding: identity',
          'Host: a',
          'Connection: close',
          'Content-Length: x',
          'Trailer: x'
        ])
  }

  #interim(): string {
    const one = (): string => {
      const line = this.#or(
        ['100 Continue', '102 Processing', '103 Early Hints'],
        ['101 Switching Protocols', '199 Odd', '100', '150 x']
      )
      const field = this.#or(
        ['', 'Link: </a>; rel=preload\r\n'],
        [
          'Content-Length: 0\r\n',
          'Content-Length: 5\r\n',
          'Transfer-Encoding: chunked\r\n',
          'Connection: close\r\n',
          'Upgrade: x\r\nConnection: Upgrade\r\n',
          `${this.#field()}\r\n`
        ]
      )
      return `HTTP/1.1 ${line}\r\n${field}${this.#or(['\r\n'], ['\n', '\r\nhello', '\r\n5\r\nhello\r\n0\r\n\r\n'])}`
    }
    return this.#or([one(), one() + one()], [one().repeat(40), one().repeat(8)])
  }

  #excess(): string {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${poison.length}\r\n\r\n${poison}`
    return this.#random.pick([
      'x',
      '\r\n',
      '\n',
      '\0',
      '0\r\n\r\n',
      answer,
      `\r\n${answer}`,
      answer + answer,
      `${poison}\r\n`,
      ' ',
      'HTTP/1.1 100 Continue\r\n\r\n'
    ])
  }
}
