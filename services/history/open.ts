import { resolve } from 'node:path'
import { History } from './history.ts'

interface Told {
  readonly path: string
  readonly directory: string
  readonly value: { readonly admin: { readonly history: { readonly path: string } } }
}

/** The history of one config file, for the whole process: where it is kept does not change while it runs. */
export const historyOf = (
  { path, directory, value }: Told,
  log: { info(facts: object, sentence: string): void }
): History =>
  new History(resolve(directory, value.admin.history.path), path, (error) => {
    const { code } = error as NodeJS.ErrnoException
    log.info({ cause: code }, 'revisions of the config are not kept: admin.history.path cannot be written')
  })
