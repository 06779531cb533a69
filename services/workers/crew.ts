import type { Figures, WorkerState } from './messages.ts'

/** The workers that serve one address together, as one of them sees it. */
export interface Crew {
  /** Which of them this one is, from 1. What is done once for all of them is done by the first. */
  readonly number: number
  /** What all of them have counted, those that have left included, as one text for Prometheus. */
  metrics(): Promise<string>
  /** Has the others read the config again, one after the other; resolves when they have. */
  reload(reason: string, by: string | undefined): Promise<void>
  list(): Promise<readonly WorkerState[]>
  /** Has each of them replaced, one after the other; resolves once the first new one serves, rejects when that cannot start. */
  restart(): Promise<void>
  /** Tells which config serves: a worker that takes another's place begins with it. */
  settled(text: string): void
  /** Leaves what this one has counted to the others. */
  farewell(figures: Figures): Promise<void>
  /** What the others may ask of this one. */
  onAsked(hands: CrewHands): void
}

/** The processes beside the one that asks. */
export interface Processes {
  /** Undefined where one process serves alone. */
  readonly crew?: Crew
  /** Has another process take over. Resolves with its pid once it serves, rejects when it does not come to that; undefined where this one may not be left. */
  readonly upgrade?: () => Promise<number>
}

export interface CrewHands {
  figures(): Promise<Figures>
  reload(reason: string, by: string | undefined): Promise<unknown>
}
