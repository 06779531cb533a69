import type { Report } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import type { AdminOptions } from './admin.ts'

/** A token that only looks is not the one that operates. */
export function adminTokens({ admin }: { readonly admin: AdminOptions }, report: Report): void {
  if (admin.readToken === undefined || admin.readToken !== admin.token) return
  report.error(pointerOf('admin', 'readToken'), 'admin.token is the same, and that may change everything')
}
