import { relative } from 'node:path'
import type { Command } from 'commander'
import { configPath, findConfig } from '../config-path.ts'
import { hasDemoUsers, placeDemo } from '../demo-files.ts'

/** `toll demo`: serves the config here or, where there is none, the demo's, with the services it names. */
export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('serve the config here, or a demo where there is none, and start its services')
    .option('--json', 'log as JSON lines, without the welcome')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { config: named } = command.optsWithGlobals<{ config?: string }>()
      const path = named === undefined ? (findConfig() ?? placeDemo()) : configPath(command)
      const { serve } = await import('../serve/serve.ts')
      process.exitCode = await serve({
        path,
        runtime: true,
        format: json === true ? 'json' : 'text',
        ...(json !== true && {
          onServing: ({ addresses, config }) => {
            const routes = config.value.routes.map(({ path }) => path)
            process.stdout.write(welcome({ ...addresses, path, routes, isDemo: hasDemoUsers(config.value) }))
          }
        })
      })
      process.exit()
    })
}

interface Served {
  readonly public: string
  readonly admin: string
  readonly path: string
  readonly routes: readonly string[]
  readonly isDemo: boolean
}

function welcome({ public: origin, admin, path, routes, isDemo }: Served): string {
  const login = `${origin}/auth/login -H 'content-type: application/json' -d '{"username":"ada","password":"lovelace"}'`
  const tries = isDemo
    ? [`curl ${origin}/ping`, `curl -i ${origin}/orders`, `curl ${login}`]
    : routes.slice(0, 3).map((route) => `curl -i '${origin}${route.replace(/\/?\*$/, '') || '/'}'`)
  return `
  Tollkeeper listens on ${origin}, its admin listener on ${admin}.
${isDemo ? '  Sign in as ada, password lovelace; or as grace, password hopper, who is an admin.\n' : ''}
  Try in another terminal:

${tries.map((line) => `    ${line}\n`).join('')}
  Change ${relative('.', path)} and it is served at once. Ctrl-C ends everything.

`
}
