import { type Static, Type } from '@sinclair/typebox'

/** Plugins from outside, which a config brings along. */
export const thirdParty = {
  key: 'plugins',
  slice: Type.Array(
    Type.Object(
      {
        use: Type.String({
          description:
            'The module: a path relative to the config file ("./my-plugin.js") or the name of a package.',
          minLength: 1,
          maxLength: 1000
        }),
        after: Type.String({
          description:
            'Key of the plugin whose step comes before this one\'s, such as "authenticate": a name, never a number.',
          minLength: 1,
          maxLength: 100
        }),
        options: Type.Record(
          Type.String(),
          Type.Unknown({ description: "What the plugin's own schema says." }),
          {
            description: "The plugin's options, checked by its own schema.",
            default: {}
          }
        )
      },
      { additionalProperties: false, description: 'One plugin from outside.' }
    ),
    {
      description: 'Plugins from outside, and where in the path of a request each has its place.',
      default: [],
      maxItems: 100
    }
  )
} as const

export type ThirdPartyOptions = Static<typeof thirdParty.slice>
