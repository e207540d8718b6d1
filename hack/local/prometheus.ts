import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startChild } from '../system/child.ts'
import { withPorts } from '../system/ports.ts'
import { until } from '../system/wait.ts'
import { requireProgram } from './programs.ts'

export type PrometheusOptions = {
  dir: string
  configYaml: string
  args?: readonly string[]
}

export type LocalPrometheus = {
  url: string
  port: number
  pid: number
  logFile: string
  /** Writes a new configuration and has it read; throws what Prometheus says against it. */
  reload: (configYaml: string) => Promise<void>
  stop: () => Promise<void>
}

/** A prometheus on 127.0.0.1 that ends with this process. It takes remote writes, so a test can give it samples. */
export async function startPrometheus(options: PrometheusOptions): Promise<LocalPrometheus> {
  const server = requireProgram('prometheus')
  mkdirSync(options.dir, { recursive: true })
  return withPorts(1, ([port]) => start(server, options, port as number))
}

async function start(server: string, options: PrometheusOptions, port: number): Promise<LocalPrometheus> {
  const logFile = join(options.dir, 'prometheus.log')
  const configFile = join(options.dir, 'prometheus.yml')
  writeFileSync(configFile, options.configYaml)
  const url = `http://127.0.0.1:${port}`
  const child = startChild({
    name: 'prometheus',
    command: server,
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(options.dir, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--web.enable-lifecycle',
      '--web.enable-remote-write-receiver',
      ...(options.args ?? []),
    ],
    logFile,
    diesWithParent: true,
  })
  const ready = async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined)
  try {
    await until(`prometheus on ${url}`, ready, { limitMs: 30_000, everyMs: 50, look: logFile, hopeless: child.lost })
  } catch (error) {
    await child.stop(0)
    throw error
  }
  const reload = async (configYaml: string) => {
    writeFileSync(configFile, configYaml)
    const answer = await fetch(`${url}/-/reload`, { method: 'POST' })
    if (!answer.ok) throw new Error(`prometheus refuses the configuration: ${await answer.text()}`)
  }
  return { url, port, pid: child.pid, logFile, reload, stop: () => child.stop(10_000) }
}
