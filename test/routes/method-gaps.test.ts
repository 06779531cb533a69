import t from 'tap'
import { methodGaps } from '../../routes/table/method-gaps.ts'
import { routeOf } from '../support/table.ts'

type Given = Parameters<typeof routeOf>[0] & { readonly auth?: string }

function warnings(...given: readonly Given[]): string[] {
  const found: string[] = []
  const routes = given.map(({ auth, ...route }) => ({ ...routeOf(route), ...(auth && { auth }) }))
  methodGaps({ routes } as never, {
    error: (pointer) => t.fail(pointer),
    warning: (pointer, sentence) => found.push(`${pointer} ${sentence}`)
  })
  return found
}

t.test('warns of a method that slips past a guarded route to one that lets anybody in', async (t) => {
  t.same(
    warnings({ id: 'admin', path: '/admin/*', methods: ['GET'] }, { id: 'rest', path: '/*', auth: 'none' }),
    [
      '/routes/0/methods POST http://example.com/admin/x is not for "admin" and goes to "rest", which lets anybody in; list the method here as well if that is not meant'
    ]
  )
})

t.test('is silent where nothing slips past', async (t) => {
  const rest = { id: 'rest', path: '/*', auth: 'none' }
  t.same(warnings({ id: 'a', path: '/admin/*' }, rest), [], 'every method is guarded')
  t.same(
    warnings({ id: 'a', path: '/admin/*', methods: ['GET'], auth: 'none' }, rest),
    [],
    'it is open itself'
  )
  t.same(
    warnings({ id: 'a', path: '/admin/*', methods: ['GET'] }, { ...rest, auth: 'required' }),
    [],
    'the other is guarded as well'
  )
  t.same(warnings({ id: 'a', path: '/admin/*', methods: ['GET'] }), [], 'nobody else takes it')
})
