import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Programs of Debian that a benchmark wants, and the packages they come in. */
const packages = {
  wrk: ['wrk'],
  taskset: ['util-linux'],
  nginx: ['nginx', 'libnginx-mod-http-lua', 'lua-cjson'],
  haproxy: ['haproxy'],
  caddy: ['caddy'],
  'redis-server': ['redis-server']
} as const

export type Tool = keyof typeof packages

const searched = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']

/** The path of a program; installs it by apt where root may, and is undefined where it is not to be had. */
export function obtain(tool: Tool, say: (line: string) => void): string | undefined {
  const found = find(tool)
  if (found !== undefined || process.getuid?.() !== 0 || find('apt-get') === undefined) return found
  say(`installing ${packages[tool].join(', ')} ...`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...packages[tool]]
  for (const command of [install, ['update', '-qq'], install]) {
    spawnSync('apt-get', command, { env, stdio: 'ignore' })
    if (find(tool) !== undefined) break
  }
  return find(tool)
}

/** Whether nginx can run Lua: the module comes in a package of its own. */
export const hasLua = (): boolean =>
  existsSync('/usr/lib/nginx/modules/ngx_http_lua_module.so') &&
  existsSync('/usr/share/lua/5.1/resty/core.lua')

/** The newest Node.js with long-term support; `npm run test:current` runs the tests on it. */
export const currentMajor = 26

/** The path of that Node.js, which the npm package `node` carries; undefined when npm cannot get it. */
export function obtainCurrent(say: (line: string) => void): string | undefined {
  say(`getting Node ${currentMajor} from npm ...`)
  const args = ['--yes', `--package=node@${currentMajor}`, '--', 'node', '-p', 'process.execPath']
  try {
    return execFileSync('npx', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

/** Copies the servers of bench/peers to `directory` and installs what they import; false when npm cannot. */
export function obtainPeers(source: string, directory: string, say: (line: string) => void): boolean {
  cpSync(source, directory, { recursive: true })
  if (existsSync(join(directory, 'node_modules', 'fast-gateway'))) return true
  say('installing the peers from npm ...')
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock']
  try {
    execFileSync('npm', ['install', ...options], { cwd: directory, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const find = (tool: string): string | undefined =>
  searched.map((directory) => join(directory, tool)).find((path) => existsSync(path))
