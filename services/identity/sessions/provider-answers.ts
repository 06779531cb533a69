import type { ProviderMethod } from './own-provider.ts'

type Shape = Readonly<Record<string, (value: unknown) => boolean>>

const isText = (value: unknown): boolean => typeof value === 'string'
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const isTruth = (value: unknown): boolean => typeof value === 'boolean'
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText)

const record: Shape = {
  sid: isText,
  uid: isText,
  epoch: isCount,
  createdAt: isCount,
  lastSeenAt: isCount,
  expiresAt: isCount,
  address: isText,
  agent: isText,
  client: isText,
  methods: isTexts
}
const created: Shape = { epoch: isCount, now: isCount, expiresAt: isCount, evicted: isTexts }
const going: Shape = {
  generation: isCount,
  uid: isText,
  epoch: isCount,
  stamp: isText,
  now: isCount,
  createdAt: isCount,
  expiresAt: isCount,
  client: isText,
  methods: isTexts
}
const nothing: Shape = {}
const over = ['REUSE', 'LATE', 'EXPIRED', 'REVOKED', 'CLIENT', 'GONE'].map((outcome) => [outcome, nothing])

const has =
  (shape: Shape) =>
  (answer: unknown): boolean =>
    typeof answer === 'object' &&
    answer !== null &&
    Object.entries(shape).every(([name, isOne]) => isOne((answer as Record<string, unknown>)[name]))

/** One shape for each outcome. */
const byOutcome = (shapes: Readonly<Record<string, Shape>>) => (answer: unknown) => {
  const outcome = (answer as { outcome?: unknown } | null | undefined)?.outcome
  return typeof outcome === 'string' && Object.hasOwn(shapes, outcome) && has(shapes[outcome]!)(answer)
}

const isRecords = (answer: unknown): boolean => Array.isArray(answer) && answer.every(has(record))

const answers: Readonly<Record<ProviderMethod, (answer: unknown) => boolean>> = {
  start: byOutcome({ CREATED: created, CAP: nothing }),
  rotate: byOutcome({ ROTATED: going, FASTFORWARD: going, REPLAY: going, ...Object.fromEntries(over) }),
  destroy: has({ existed: isTruth }),
  kick: has({ epoch: isCount, sessions: isTexts }),
  endOutdated: isTexts,
  touch: () => true,
  exists: isTruth,
  read: (answer) => answer === undefined || has(record)(answer),
  list: isRecords,
  page: isRecords,
  online: has({ sessions: isCount, users: isCount }),
  readData: byOutcome({ READ: { json: (json) => json === undefined || isText(json) }, GONE: nothing }),
  writeData: (answer) => answer === 'WRITTEN' || answer === 'FULL' || answer === 'GONE',
  gc: isCount
}

/** Whether a provider's answer is one that its method may give: what a module from outside says is not believed unread. */
export const isAnswer = (method: ProviderMethod, answer: unknown): boolean => answers[method](answer)
