import { hostname as machine } from 'node:os'
import { splitAddress } from '../../../config/process.ts'
import type { Delivery } from '../delivery.ts'
import type { Line } from '../line-queue.ts'
import type { SyslogOptions } from '../slice.ts'
import { Datagrams } from './datagrams.ts'
import { messageOf } from './message.ts'
import { facilities } from './slice.ts'
import { Stream } from './stream.ts'

type Options = Pick<SyslogOptions, 'address' | 'transport' | 'facility' | 'appName' | 'hostname' | 'tls'>

/** Sends each line as a message of RFC 5424. Nobody confirms one: lines are sent once the system has taken them. */
export class SyslogDelivery implements Delivery {
  readonly #way: Datagrams | Stream
  readonly #header: { readonly facility: number; readonly hostname: string; readonly appName: string }

  constructor({ address, transport, facility, appName, hostname, tls }: Options, directory: string) {
    const peer = splitAddress(address)
    this.#way = transport === 'udp' ? new Datagrams(peer) : new Stream(peer, { transport, tls, directory })
    this.#header = {
      facility: facilities.indexOf(facility),
      hostname: hostname ?? machineName(),
      appName
    }
  }

  deliver(batch: readonly Line[], signal: AbortSignal): Promise<void> {
    return this.#way.send(
      batch.map(({ text }) => messageOf(text, this.#header)),
      signal
    )
  }

  close(): void {
    this.#way.close()
  }
}

/** RFC 5424 6.2.4: printable, and "-" where it is not known. */
const machineName = (): string =>
  machine()
    .replaceAll(/[^!-~]/g, '')
    .slice(0, 255) || '-'
