import { type GatewayConfig, loadGatewayConfig } from '../../app.ts'
import { ConfigError } from '../../config/mistake.ts'
import { counted } from '../read-config.ts'
import { examineFiles } from './files.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { examineNodes, examinePorts } from './network.ts'
import { examineStore } from './store.ts'

const oldestNode = [20, 20] as const

/** Looks at everything a gateway with this config needs, one finding after the other, quickest first. Changes nothing. */
export async function* examine(path: string): AsyncIterable<Finding> {
  yield examineNode(process.versions.node)
  const { finding, config } = await examineConfig(path)
  yield finding
  if (config === undefined) return
  yield* examineFiles(config)
  yield* examinePorts(config)
  yield* examineStore(config)
  yield* examineNodes(config)
}

export function examineNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])
  return isOld
    ? fail('node', `Node.js ${version} is too old.`, `Install Node.js ${oldestNode.join('.')} or newer.`)
    : ok('node', `Node.js ${version}.`)
}

async function examineConfig(path: string): Promise<{ finding: Finding; config?: GatewayConfig }> {
  try {
    const config = await loadGatewayConfig(path)
    const { warnings, value } = config
    const finding =
      warnings.length > 0
        ? warn('config', `${path} is good, with ${counted(warnings.length, 'warning')}.`, 'See "toll check".')
        : ok('config', `${path} is good: ${counted(value.routes.length, 'route')}.`)
    return { finding, config }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const sentence = `${path} is refused, with ${counted(error.mistakes.length, 'mistake')}.`
    return { finding: fail('config', sentence, 'See "toll check".') }
  }
}
