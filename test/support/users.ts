import { hashPassword } from '../../services/identity/users/passwords.ts'

/** The text of a users file; passwords as given, hashed. */
export async function usersFile(
  users: Readonly<
    Record<string, { password: string; scopes?: string[]; roles?: string[]; disabled?: boolean }>
  >
): Promise<string> {
  const entries = Object.entries(users).map(async ([name, user]) => [
    name,
    { ...user, password: await hashPassword(user.password) }
  ])
  return JSON.stringify({ users: Object.fromEntries(await Promise.all(entries)) })
}
