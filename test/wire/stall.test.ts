import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

/** Keeps the event loop of this process, which is the gateway's, for so many milliseconds. */
function block(milliseconds: number): void {
  const until = performance.now() + milliseconds
  while (performance.now() < until);
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

t.test(
  'an event loop that stood still is counted once and logged with how long, after reloads too',
  async (t) => {
    const up = await httpUpstream(t, (_, response) => response.end('ok'))
    const config = { ...configFor([up.url]), pressure: { stall: '1s' } }
    const { admin, log, reconfigure } = await startGateway(t, config)
    const stalls = async () => {
      const { text } = await ask('GET', `${admin}/metrics`)
      return Number(/^tollkeeper_event_loop_stalls_total (\d+)$/m.exec(text)?.[1])
    }
    const told = () => log().filter(({ msg }) => msg === 'the event loop stood still')
    await pause(600)
    const before = await stalls()
    const toldBefore = told().length

    // Wherever between two looks it begins and ends.
    for (const [index, offset] of [0, 130, 260, 390].entries()) {
      await pause(offset)
      block(1300)
      await pause(700)
      t.equal(await stalls(), before + index + 1, `after the stall at ${offset} ms`)
    }
    const lines = told().slice(toldBefore)
    t.equal(lines.length, 4)
    for (const { level, milliseconds } of lines) {
      t.equal(level, 'warn')
      t.ok(Number(milliseconds) >= 1250, `${milliseconds} is about as long as it was`)
    }

    // The config that serves says what is long; the figure belongs to the process.
    await reconfigure({ ...config, pressure: { stall: '1h' } })
    await pause(600)
    const reloaded = await stalls()
    t.ok(reloaded >= before + 4)
    block(1300)
    await pause(700)
    t.equal(await stalls(), reloaded)
    await reconfigure({ ...config, pressure: { stall: '0s' } })
    block(1300)
    await pause(700)
    t.equal(await stalls(), reloaded, '0s is no bound')
  }
)
