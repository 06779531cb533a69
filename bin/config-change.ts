import type { Command } from 'commander'
import { adminExchange, type Sent } from './admin-client.ts'

/** What a change of the config did. */
export interface Changed {
  readonly outcome: string
  readonly revision: string
  readonly changes?: readonly string[]
}

/** Changes the config that serves at this moment, and no other; forced, also a file that was edited since it was read. */
export async function changeConfig(
  command: Command,
  method: string,
  path: string,
  sent: Sent,
  force: boolean | undefined
): Promise<Changed> {
  const match = force === true ? '*' : (await adminExchange(command, 'GET', '/admin/config')).etag
  try {
    const { answer } = await adminExchange(command, method, path, {
      ...sent,
      ...(match !== undefined && { match })
    })
    return answer as Changed
  } catch (error) {
    if ((error as { status?: unknown }).status !== 409 || !/If-Match/.test((error as Error).message))
      throw error
    throw new Error(`${(error as Error).message}\nHere that is "toll reload", or --force.`)
  }
}
