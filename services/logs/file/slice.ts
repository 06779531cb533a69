import { Type } from '@sinclair/typebox'
import { Size } from '../../../config/units.ts'

export const fileFields = {
  path: Type.String({
    description:
      'The file, relative to the config file; made with mode 0640 when it is missing, and opened anew when it was renamed. One file is for one gateway.',
    minLength: 1,
    maxLength: 4096,
    examples: ['logs/access.log']
  }),
  maxSize: Size({
    default: '100MiB',
    description:
      'A file that would grow beyond this is renamed to PATH.1, and a new one begun; "0B" for never.'
  }),
  keep: Type.Integer({
    default: 5,
    minimum: 1,
    maximum: 1000,
    description: 'How many renamed files are kept: PATH.1 is the youngest.'
  })
} as const
