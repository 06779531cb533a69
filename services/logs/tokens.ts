/** Anything that looks like a JWT, an API key or a refresh token of this gateway. */
const tokens = /eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|tlk1_\w+|tlr1\.[\w~.-]+/g

/**
 * A path or an id as it may be logged. Neither is a place for tokens, yet clients put them there by mistake, and a log is read by
 * people who must not have them.
 */
export const withoutTokens = (text: string): string =>
  text.includes('eyJ') || text.includes('tlk1_') || text.includes('tlr1.')
    ? text.replace(tokens, '[token]')
    : text
