// node hack/image/main.ts build [--include PATH]... | context FOLDER [--include PATH]...
import { parseArgs } from 'node:util'
import { contextEntries, layOut } from './context.ts'
import { buildKeyshiftImage } from './keyshift.ts'
import { buildPrometheusImage, buildRedisImage } from './servers.ts'

const usage = `node hack/image/main.ts COMMAND [--include PATH]...
  build            build the Keyshift, Redis and Prometheus images; prints each name and archive
  context FOLDER   lay out the Dockerfile's context, for docker build FOLDER`

const log = (line: string): void => console.log(line)

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { include: { type: 'string', multiple: true } },
  })
  const [command, folder] = positionals
  const include = values.include ?? []
  if (command === 'build') {
    const images = [
      await buildKeyshiftImage({ include, log }),
      await buildRedisImage({ log }),
      await buildPrometheusImage({ log }),
    ]
    for (const image of images) log(`${image.name}  ${image.tar}`)
  } else if (command === 'context' && folder !== undefined) layOut(contextEntries(include), folder)
  else {
    console.error(usage)
    process.exit(2)
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}
