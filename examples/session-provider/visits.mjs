/** Counts the visits of a session, in the session: wherever its next request arrives, the count is there. */
export default {
  key: 'visits',
  setup: () => () => async (request, reply) => {
    const session = request.userSession()
    if (session === undefined) return
    const visits = ((await session.get('visits')) ?? 0) + 1
    await session.set('visits', visits)
    reply.header('x-visits', String(visits))
  }
}
