import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import type { LogFormat } from '../telemetry/log.ts'
import type { Side, Sides } from './entrance.ts'

/** The metrics of one process, as prom-client gives them for being summed up. */
export type Figures = readonly MetricObjectWithValues<MetricValue<string>>[]

/** What a worker has to know before it starts. */
export interface Orders {
  readonly path: string
  /** Which of the workers it is, from 1. A worker that takes another's place has its number. */
  readonly number: number
  readonly format?: LogFormat
  /** Whether people read what is written. */
  readonly isTerminal: boolean
  /** The config that serves, where one does already: the file may have been changed for the worse since. */
  readonly text?: string
}

/** How an error of listen(2) gets from one process to another. */
export interface ListenFault {
  readonly message: string
  readonly code?: string | undefined
  readonly address?: string | undefined
  readonly hostname?: string | undefined
  readonly port?: number | undefined
}

export function faultOf(error: unknown): ListenFault {
  const { message, code, address, hostname, port } = error as Error & ListenFault
  return { message, code, address, hostname, port }
}

/** What is asked of a worker. */
export type Question =
  | { readonly name: 'alive' }
  | { readonly name: 'figures' }
  | { readonly name: 'reload'; readonly reason: string; readonly by: string | undefined }

/** What a worker asks of its primary. */
export type Request =
  | { readonly name: 'metrics' }
  | { readonly name: 'reload'; readonly reason: string; readonly by: string | undefined }
  | { readonly name: 'list' }
  | { readonly name: 'restart' }
  | { readonly name: 'upgrade' }

/** One worker, for whoever looks at them. */
export interface WorkerState {
  readonly number: number
  readonly pid: number
  readonly state: 'starting' | 'serving' | 'leaving'
  /** ISO 8601: since when it is there. */
  readonly since: string
}

export type ToWorker =
  | { readonly kind: 'start'; readonly orders: Orders }
  | { readonly kind: 'opened'; readonly addresses: Sides<string> }
  | { readonly kind: 'not opened'; readonly fault: ListenFault }
  /** With a connection. */
  | { readonly kind: 'connection'; readonly side: Side }
  /** No connection follows. */
  | { readonly kind: 'closed'; readonly side: Side }
  /** `soon`: others serve on, so nobody has to notice first. */
  | { readonly kind: 'leave'; readonly soon: boolean }
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  | { readonly kind: 'reply'; readonly id: number; readonly value?: unknown; readonly fault?: string }

export type FromWorker =
  | {
      readonly kind: 'open'
      readonly listen: Sides<string>
      readonly format: LogFormat
      readonly level: string
    }
  | { readonly kind: 'serving' }
  /** The connection that was handed over first is here, and another one can come. */
  | { readonly kind: 'taken'; readonly side: Side }
  | { readonly kind: 'close'; readonly side: Side }
  /** This config serves now, as it was written. */
  | { readonly kind: 'settled'; readonly text: string }
  | { readonly kind: 'request'; readonly id: number; readonly request: Request }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly fault?: string }
  /** The last it has counted. */
  | { readonly kind: 'farewell'; readonly figures: Figures }
