import { type Static, Type } from '@sinclair/typebox'

const pem = (description: string) =>
  Type.Optional(
    Type.String({
      description: `${description}, relative to the config file.`,
      minLength: 1,
      maxLength: 4096
    })
  )

/** How a sink is reached over TLS: a key of each kind that can be. */
export const tlsFields = Type.Object(
  {
    ca: pem('PEM file of the authorities that may have signed its certificate'),
    cert: pem("PEM file of the gateway's own certificate"),
    key: pem('PEM file of the key of that certificate'),
    servername: Type.Optional(
      Type.String({
        description: 'Name that its certificate has to have; the host it is reached at when left out.',
        minLength: 1,
        maxLength: 253
      })
    )
  },
  {
    additionalProperties: false,
    description: 'TLS (RFC 8446) to it. The files are read again for each new connection.'
  }
)

export type TLSOptions = Static<typeof tlsFields>
