const primes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
  109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167
]

/**
 * True for an RSA modulus of the family whose primes can be found (CVE-2017-15361): modulo every small prime it is a power of
 * 65537. One sound key in many millions looks the same; it can be made again.
 */
export function isRoca(modulus: bigint): boolean {
  return primes.every((prime) => isPower(Number(modulus % BigInt(prime)), prime))
}

function isPower(wanted: number, prime: number): boolean {
  const base = 65_537 % prime
  let power = 1
  do {
    if (power === wanted) return true
    power = (power * base) % prime
  } while (power !== 1)
  return false
}
