import { readFileSync } from 'node:fs'
import ts from 'typescript'

export interface Field {
  readonly name: string
  /** As the source has it. */
  readonly type: string
  /** Its comment, as one line. */
  readonly doc: string
}

/** Fields of an exported interface, in the order of the source. */
export function fieldsOf(file: string, name: string): Field[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const found = source.statements.find(
    (s): s is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(s) && s.name.text === name,
  )
  if (found === undefined) throw new Error(`${file} has no interface ${name}`)
  return found.members.map((member) => {
    const comment = ts.getJSDocCommentsAndTags(member).at(-1)
    const doc = comment === undefined ? '' : (ts.getTextOfJSDocComment(comment.comment) ?? '').replace(/\s+/g, ' ')
    const type = (ts.isPropertySignature(member) ? member.type?.getText(source) : undefined) ?? ''
    return { name: member.name?.getText(source) ?? '', type, doc }
  })
}
