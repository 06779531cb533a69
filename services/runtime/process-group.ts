import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

export type Child = ChildProcessByStdio<null, Readable, Readable>

/** What of the gateway's environment a process gets: enough to run, nothing secret. */
const inherited =
  'PATH HOME USER LOGNAME SHELL LANG LC_ALL LC_CTYPE TZ TMPDIR TERM NODE_ENV SSL_CERT_FILE SSL_CERT_DIR'.split(
    ' '
  )

/** Starts a command as the leader of its own process group, so that all it starts can be ended with it. */
export function startGroup(
  [program = '', ...args]: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv
): Child {
  const base: NodeJS.ProcessEnv = {}
  for (const name of inherited) if (process.env[name] !== undefined) base[name] = process.env[name]
  return spawn(program === 'node' ? process.execPath : program, args, {
    cwd,
    env: { ...base, ...env },
    detached: true,
    shell: false,
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

/** SIGTERM to the whole group, SIGKILL to what is left of it after `grace` ms. Resolves when it is gone. */
export async function endGroup(leader: number, grace: number): Promise<void> {
  if (!signalGroup(leader, 'SIGTERM') || (await isGone(leader, grace))) return
  signalGroup(leader, 'SIGKILL')
  await isGone(leader, 500)
}

async function isGone(leader: number, within: number): Promise<boolean> {
  const deadline = performance.now() + within
  while (performance.now() < deadline) {
    await sleep(10)
    if (!signalGroup(leader, 0)) return true
  }
  return false
}

/** False when no process of the group is left. */
export function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal)
  } catch {
    return false
  }
}
