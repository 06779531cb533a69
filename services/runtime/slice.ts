import { type Static, Type } from '@sinclair/typebox'
import { Duration } from '../../config/units.ts'

const command = (description: string) =>
  Type.Array(Type.String({ maxLength: 4096 }), { description, minItems: 1, maxItems: 128 })

const ready = Type.Object(
  {
    path: Type.Optional(
      Type.String({
        description:
          'Path that must answer with a status below 400. Without it, an accepted TCP connection is enough.',
        pattern: '^/',
        maxLength: 1024,
        examples: ['/health']
      })
    ),
    timeout: Duration({
      description: 'How long the process may take to get ready; after that it counts as failed.',
      default: '15s'
    })
  },
  {
    description: 'How the gateway finds out that the process can take requests.',
    additionalProperties: false,
    default: {}
  }
)

const restart = Type.Object(
  {
    policy: Type.Union([Type.Literal('on-failure'), Type.Literal('always'), Type.Literal('never')], {
      description:
        'Whether a process that ended is started again: when it failed, whenever it ends, or not at all.',
      default: 'on-failure'
    }),
    backoff: Duration({
      description: 'Pause before the first restart; it doubles with every failure in a row.',
      default: '500ms'
    }),
    max: Duration({ description: 'Longest pause between two restarts.', default: '30s' })
  },
  { description: 'What happens when the process ends by itself.', additionalProperties: false, default: {} }
)

/** `services.X.run`: how the processes of a service are started on this machine. */
export const runSlice = Type.Object(
  {
    command: command(
      'Program and arguments, one process for each loopback node. It is never given to a shell; "node" is the Node.js that runs the gateway.'
    ),
    cwd: Type.String({
      description: 'Working directory, relative to the directory of the config.',
      default: '.',
      minLength: 1,
      maxLength: 4096
    }),
    env: Type.Record(
      Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }),
      Type.String({ description: 'Value of the variable.', maxLength: 32768 }),
      {
        description:
          'Environment of the process beside PATH, HOME and the like. PORT is set from the URL of the node. The environment of the gateway is not passed on: it holds secrets.',
        additionalProperties: false,
        default: {}
      }
    ),
    build: Type.Optional(
      command('Command that is run once, and must succeed, before the processes are started.')
    ),
    ready,
    restart
  },
  {
    description:
      'Starts the service on this machine. Only under `toll dev`, `toll demo`, or with `runtime.enabled`.',
    additionalProperties: false
  }
)

export type Run = Static<typeof runSlice>

/** The key `runtime`: whether and how the gateway runs local upstream processes. */
export const runtimeSlice = Type.Object(
  {
    enabled: Type.Boolean({
      description:
        'Start the `run` command of each service. `toll dev` and `toll demo` do so in any case. Whoever can write the config can then run programs as the gateway, so it is off by default.',
      default: false
    }),
    grace: Duration({
      description: 'Time between SIGTERM and SIGKILL when a process is stopped.',
      default: '5s'
    }),
    lines: Type.Integer({
      description: 'Lines of output kept of each process for `toll logs`.',
      default: 500,
      minimum: 10,
      maximum: 100_000
    })
  },
  { description: 'Local upstream processes.', additionalProperties: false, default: {} }
)

export type RuntimeOptions = Static<typeof runtimeSlice>
