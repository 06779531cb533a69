interface Fixed {
  readonly listen: Readonly<Record<'public' | 'admin', string>>
  readonly store: unknown
  readonly workers: unknown
}

/** Throws where a config changes what belongs to the process rather than to a config. */
export function refuseFixed(now: Fixed, next: Fixed): void {
  for (const name of ['public', 'admin'] as const) {
    if (now.listen[name] === next.listen[name]) continue
    throw new Error(
      `listen.${name} cannot change while the gateway runs; restart it to listen on ${next.listen[name]}.`
    )
  }
  if (now.workers !== next.workers) {
    throw new Error(
      `"workers" cannot change while the gateway runs; restart it, or have another process take over (toll upgrade).`
    )
  }
  if (JSON.stringify(now.store) === JSON.stringify(next.store)) return
  throw new Error('"store" cannot change while the gateway runs: sessions would be lost; restart it instead.')
}
