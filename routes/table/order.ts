import type { Branch, HostTable, Table } from './compile.ts'
import type { CompiledRoute } from './route.ts'

/** Every route once, in the order in which requests try them: exact hosts, host wildcards from the longest, any host. */
export function routesInOrder({ hosts, wildcards, any }: Table): readonly CompiledRoute[] {
  const byName = [...hosts].sort(([left], [right]) => (left < right ? -1 : 1))
  const bySuffix = [...wildcards].sort(([left], [right]) => right.length - left.length)
  const tables = [...byName, ...bySuffix].map(([, table]) => table)
  // A route of several hosts stands where the first of them does.
  return [...new Set([...tables, any].flatMap(ofHost))]
}

const ofHost = ({ root, regexes }: HostTable): CompiledRoute[] => [...ofBranch(root), ...regexes]

function ofBranch({ ends, slashed, open, literals, parameter }: Branch): CompiledRoute[] {
  const byName = [...literals].sort(([left], [right]) => (left < right ? -1 : 1))
  return [
    ...ends,
    ...slashed,
    ...byName.flatMap(([, branch]) => ofBranch(branch)),
    ...(parameter === undefined ? [] : ofBranch(parameter)),
    ...open
  ]
}
