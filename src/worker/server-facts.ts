/** What INFO says of a server, by field. */
export type Info = ReadonlyMap<string, string>

export function parseInfo(text: string): Info {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const at = line.indexOf(':')
    if (at > 0 && !line.startsWith('#')) fields.set(line.slice(0, at), line.slice(at + 1).trim())
  }
  return fields
}

/** Bytes that Redis may use: what it says itself, else what the spec states; undefined where neither does. */
export function memoryLimit(info: Info, assumed: number | undefined): number | undefined {
  const said = Number(info.get('maxmemory') ?? '0')
  return said > 0 ? said : assumed
}
