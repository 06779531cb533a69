const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** True where what is fetched from a URL can be believed: nobody stands between, or the operator takes that risk. */
export const isTrustworthy = ({ protocol, hostname }: URL, allowInsecure: boolean): boolean =>
  protocol === 'https:' || (protocol === 'http:' && (allowInsecure || loopback.test(hostname)))
