/** Pattern of host:port; IPv6 hosts in brackets, no user. */
export const hostAndPort = '^(\\[[0-9a-fA-F:.]+\\]|[^:\\s/@]+):[0-9]{1,5}$'
