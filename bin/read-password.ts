import type { ReadStream } from 'node:tty'

/** A password from `--password`, from a pipe (its first line), or typed without echo. */
export async function readPassword(given: string | undefined, prompt: string): Promise<string> {
  if (given !== undefined) return given
  const { stdin } = process
  return stdin.isTTY ? typePassword(stdin, prompt) : firstLine()
}

async function firstLine(): Promise<string> {
  let text = ''
  process.stdin.setEncoding('utf8')
  for await (const chunk of process.stdin) {
    text += chunk as string
    if (text.includes('\n') || text.length > 4096) break
  }
  return text.split(/\r?\n/, 1)[0]!
}

function typePassword(stdin: ReadStream, prompt: string): Promise<string> {
  process.stderr.write(prompt)
  stdin.setEncoding('utf8')
  stdin.setRawMode(true)
  stdin.resume()
  return new Promise((resolve, reject) => {
    let typed = ''
    const finish = (settle: () => void) => {
      stdin.setRawMode(false)
      stdin.pause()
      stdin.off('data', take)
      process.stderr.write('\n')
      settle()
    }
    const take = (chunk: string) => {
      for (const character of chunk) {
        if (character === '\r' || character === '\n') return finish(() => resolve(typed))
        if (character === '\u0003' || character === '\u0004') {
          return finish(() => reject(new Error('nothing was changed.')))
        }
        typed = character === '\u007f' || character === '\b' ? typed.slice(0, -1) : typed + character
      }
    }
    stdin.on('data', take)
  })
}
