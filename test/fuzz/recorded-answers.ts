import { readdirSync, readFileSync } from 'node:fs'
import type { AnswerCase } from './answer-case.ts'

const directory = new URL('../../../test/fuzz/recorded/', import.meta.url)

/** What real servers said, byte by byte; `record.ts` wrote it down. A name with `-close` in it says that the connection ended behind it. */
export const recordedAnswers = (): AnswerCase[] =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.http'))
    .map((name) => ({
      method: name.includes('-head') ? 'HEAD' : 'GET',
      bytes: readFileSync(new URL(name, directory), 'latin1'),
      isClosed: name.includes('-close')
    }))
