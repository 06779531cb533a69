const alphabet = /^[A-Za-z0-9_-]*$/
/** Characters whose unused low bits are zero, by how many characters the last group has. */
const lastOfTwo = /[AQgw]$/
const lastOfThree = /[AEIMQUYcgkosw048]$/

/**
 * True for base64url without padding in its only spelling (RFC 4648 3.5). A second spelling of the same bytes would be a second
 * token with a valid signature.
 */
export function isCanonical(text: string): boolean {
  if (!alphabet.test(text)) return false
  switch (text.length % 4) {
    case 0:
      return true
    case 2:
      return lastOfTwo.test(text)
    case 3:
      return lastOfThree.test(text)
    default:
      return false
  }
}
