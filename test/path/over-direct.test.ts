import t from 'tap'
import { runOver } from '../support/transports.ts'

await runOver(t, 'direct')
