import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { formatHostPort, type HostPort } from './address.ts'
import { TlsFailed } from './errors.ts'

export interface TlsOptions {
  /** PEM of the CAs to trust in place of those that Node trusts. */
  readonly ca?: string | Buffer | undefined
  /** PEM of a client certificate and its key, where the server asks for one. */
  readonly cert?: string | Buffer | undefined
  readonly key?: string | Buffer | undefined
  /** Name that the server's certificate must hold, where it is not the host. */
  readonly serverName?: string | undefined
  /** Where `ca` comes from, for messages. */
  readonly caFrom?: string | undefined
}

/** A socket with its TLS handshake done and the server's certificate proven: only then may a password be written. */
export interface SecureSocket {
  readonly stream: TLSSocket
  /** Ends it so that neither Node nor the kernel sends what is still buffered. */
  reset(): void
}

/** `opening` gets what ends the attempt, and what it means when it takes too long. @throws TlsFailed, or the error of the TCP socket */
export async function openSecureSocket(
  to: HostPort,
  options: TlsOptions,
  opening: { destroy?: () => void; late?: Error | undefined },
): Promise<SecureSocket> {
  const raw = connectTcp({ host: to.host, port: to.port })
  // TLS sits on top of a plain socket of our own: Node resets only those.
  const reset = (): void => {
    if (raw.connecting || raw.destroyed) raw.destroy()
    else raw.resetAndDestroy()
  }
  opening.destroy = reset
  await settled(raw, 'connect')
  opening.late = notInTls(to)
  const name = options.serverName ?? (isIP(to.host) === 0 ? to.host : undefined)
  try {
    const { ca, cert, key } = options
    const stream = connectTls({
      socket: raw,
      host: to.host,
      ...(name === undefined ? {} : { servername: name }),
      // Node takes an empty text for none given, and would trust its own.
      ...(ca === undefined ? {} : { ca: typeof ca === 'string' ? Buffer.from(ca) : ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    })
    await settled(stream, 'secureConnect')
    opening.late = undefined
    stream.once('close', () => raw.destroy())
    return { stream, reset }
  } catch (error) {
    reset()
    throw tlsTrouble(error as NodeJS.ErrnoException, to, options)
  }
}

function settled(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve)
    // It stays: a later error that nobody listens to would end the process.
    socket.on('error', reject)
    socket.once('close', () => reject(new Error('the connection was closed by the other side')))
  })
}

const UNTRUSTED = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
])

const NOT_IN_TLS = 'it does not answer in TLS: give its TLS port, or leave redis.tls (and rediss://) out'

function notInTls(to: HostPort): TlsFailed {
  return new TlsFailed(`TLS with ${formatHostPort(to)}: ${NOT_IN_TLS}`)
}

/** Says what a failed handshake means and what to do. */
export function tlsTrouble(error: NodeJS.ErrnoException, to: HostPort, options: TlsOptions): TlsFailed {
  return new TlsFailed(`TLS with ${formatHostPort(to)}: ${explain(error, options)}`)
}

function explain({ code = '', message }: NodeJS.ErrnoException, { ca, caFrom, serverName }: TlsOptions): string {
  if (UNTRUSTED.has(code)) return untrusted(code, ca, caFrom ?? 'redis.tls.ca')
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `its certificate is for other names (${message.replace(/^.*(altnames|list|CN): /, '')}): give ${serverName === undefined ? '' : 'another '}redis.tls.serverName, or issue it for this host`
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `its certificate is not valid today (${code}): renew it`
  if (/wrong version number|packet length too long|record layer/i.test(message)) return NOT_IN_TLS
  if (isAboutClientCertificate(code, message))
    return `it wants a client certificate that its CA signed (${code}): give one in redis.tls, or set tls-auth-clients no`
  if (/^(ERR_OSSL|ERR_SSL|ERR_CRYPTO)/.test(code) || /PEM|certificate|key/i.test(message))
    return `${message} (${code}): are CA, certificate and key PEM texts that belong together?`
  return message
}

function untrusted(code: string, ca: TlsOptions['ca'], from: string): string {
  if (ca === undefined)
    return `its certificate is signed by no CA that this system trusts (${code}): give its CA in redis.tls`
  // Node takes any other text for no CA at all.
  if (!ca.includes('-----BEGIN')) return `${from} holds no certificate in PEM (${code}): put the CA there`
  return `its certificate is not signed by the CA in ${from} (${code}): put the right CA there`
}

/** In TLS 1.3 the server says so only after the handshake, on the first read. */
export function isTlsAlert(error: NodeJS.ErrnoException): boolean {
  return /^ERR_SSL_/.test(error.code ?? '')
}

function isAboutClientCertificate(code: string, message: string): boolean {
  return (
    /CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|ALERT_UNKNOWN_CA|ALERT_CERTIFICATE/i.test(code) ||
    /alert (certificate required|unknown ca|bad certificate)/i.test(message)
  )
}
