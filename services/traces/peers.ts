/** What has to be installed beside the gateway where requests are traced: nobody else pays for it. */
const names = [
  '@opentelemetry/api',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace-base'
] as const

/** Those that are not there; `resolve` finds a package or throws. */
export const missingPeers = (resolve: (name: string) => unknown): readonly string[] =>
  names.filter((name) => {
    try {
      resolve(name)
      return false
    } catch {
      return true
    }
  })
