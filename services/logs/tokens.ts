/** Anything that looks like a JWT, an API key or a refresh token of this gateway. */
const tokens = /eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?|tlk1_\w+|tlr1\.[\w~.-]+/g

/**
 * Whether there may be a token in a path or an id. Neither is a place for one, yet clients put them there by mistake, and a log is read
 * by people who must not have them.
 */
export const holdsToken = (text: string): boolean =>
  text.includes('eyJ') || text.includes('tlk1_') || text.includes('tlr1.')

/** A path as it may be logged. */
export const withoutTokens = (text: string): string =>
  holdsToken(text) ? text.replace(tokens, '[token]') : text
