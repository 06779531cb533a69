import type { Check } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { mistakeIn } from './patterns.ts'
import type { AgentRules, HeaderRules, PathRules } from './slice.ts'

interface Guarded {
  readonly guard: {
    readonly headers: HeaderRules
    readonly userAgents: AgentRules
    readonly paths: PathRules
  }
}

/** Patterns are ones that RE2 takes: no look-around and no back references, so none that a text can keep busy. */
export const guardPatterns: Check = ({ guard }: Guarded, report) => {
  const { headers, userAgents, paths } = guard
  const look = (written: string | undefined, ...keys: (string | number)[]) => {
    const mistake = written === undefined ? undefined : mistakeIn(written)
    if (mistake !== undefined) {
      report.error(pointerOf('guard', ...keys), `the pattern is not one of RE2: ${mistake}`)
    }
  }
  for (const [index, { match }] of headers.forbid.entries()) look(match, 'headers', 'forbid', index, 'match')
  for (const key of ['allow', 'deny'] as const) {
    for (const [index, written] of userAgents[key].entries()) look(written, 'userAgents', key, index)
  }
  for (const [index, written] of paths.deny.entries()) look(written, 'paths', 'deny', index)
}
