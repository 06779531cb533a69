#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { apikeyCommand } from './commands/apikey.ts'
import { auditCommand } from './commands/audit.ts'
import { banCommand } from './commands/ban.ts'
import { checkCommand } from './commands/check.ts'
import { demoCommand } from './commands/demo.ts'
import { devCommand } from './commands/dev.ts'
import { diffCommand } from './commands/diff.ts'
import { docsCommand } from './commands/docs.ts'
import { doctorCommand } from './commands/doctor.ts'
import { explainCommand } from './commands/explain.ts'
import { historyCommand } from './commands/history.ts'
import { keyCommand } from './commands/key.ts'
import { limitCommand } from './commands/limit.ts'
import { logCommand } from './commands/log.ts'
import { logsCommand } from './commands/logs.ts'
import { nodeCommand } from './commands/node.ts'
import { psCommand } from './commands/ps.ts'
import { reloadCommand } from './commands/reload.ts'
import { replaceCommand } from './commands/replace.ts'
import { revokeCommand } from './commands/revoke.ts'
import { routesCommand } from './commands/routes.ts'
import { schemaCommand } from './commands/schema.ts'
import { sessionCommand } from './commands/session.ts'
import { startCommand } from './commands/start.ts'
import { userCommand } from './commands/user.ts'
import { workersCommand } from './commands/workers.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

const program = new Command('toll')
  .description(
    'Tollkeeper, an API gateway that signs users in, limits requests and tells you why it refused.'
  )
  .version(version)
  .option('-c, --config <path>', 'config file (default: gateway.config.json, .jsonc, .yaml or .yml here)')
  .showHelpAfterError('(toll --help lists the commands; a value that begins with "-" stands behind "--")')
  .showSuggestionAfterError()

// In the order of `toll --help`.
const commands = [
  startCommand,
  devCommand,
  demoCommand,
  checkCommand,
  routesCommand,
  explainCommand,
  reloadCommand,
  diffCommand,
  replaceCommand,
  historyCommand,
  auditCommand,
  workersCommand,
  psCommand,
  logsCommand,
  userCommand,
  banCommand,
  limitCommand,
  logCommand,
  nodeCommand,
  sessionCommand,
  revokeCommand,
  keyCommand,
  apikeyCommand,
  doctorCommand,
  schemaCommand,
  docsCommand
]
for (const add of commands) add(program)

await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`toll: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
