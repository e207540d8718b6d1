import type { Spec } from '../api/schema.ts'
import type { ConnectionOptions, Credentials, TlsOptions } from '../redis/connection.ts'
import { SecretMissing, type SecretReader, type SecretValues } from './secrets.ts'

/** The Secrets that a spec names for Redis, as what a connection asks for at each attempt. */
export class RedisSecrets {
  readonly #reader: SecretReader
  readonly #namespace: string
  readonly #redis: Spec['redis']

  constructor(reader: SecretReader, namespace: string, redis: Spec['redis']) {
    this.#reader = reader
    this.#namespace = namespace
    this.#redis = redis
  }

  /** Version of each Secret by its name, from what was read lately. @throws SecretMissing, KubeError */
  async versions(): Promise<ReadonlyMap<string, string>> {
    const { credentialsSecretRef, sentinel, tls } = this.#redis
    const refs = [credentialsSecretRef, sentinel?.credentialsSecretRef, tls?.caSecretRef, tls?.clientCertSecretRef]
    const names = new Set(refs.flatMap((ref) => (ref === undefined ? [] : [ref.name])))
    const read = [...names].map(
      async (name) => [name, (await this.#reader.read(this.#namespace, name)).version] as const,
    )
    return new Map(await Promise.all(read))
  }

  /** `seen` gets the version of each Secret that an attempt to connect has read anew. */
  providers(
    seen: (name: string, version: string) => void,
  ): Pick<ConnectionOptions, 'credentials' | 'sentinelCredentials' | 'tls'> {
    const { credentialsSecretRef, sentinel, tls } = this.#redis
    const fresh = async (name: string): Promise<SecretValues> => {
      const secret = await this.#reader.read(this.#namespace, name, true)
      seen(name, secret.version)
      return secret
    }
    const credentials = (ref: { readonly name: string } | undefined) =>
      ref === undefined ? undefined : async () => this.#credentials(ref.name, await fresh(ref.name))
    return {
      credentials: credentials(credentialsSecretRef),
      sentinelCredentials: credentials(sentinel?.credentialsSecretRef),
      tls: tls && (() => this.#tls(tls, fresh)),
    }
  }

  #credentials(name: string, secret: SecretValues): Credentials {
    const password = this.#need(name, 'password', secret.get('password'))
    return { username: secret.get('username', 'open')?.trim(), password }
  }

  async #tls(
    { caSecretRef, clientCertSecretRef, serverName }: NonNullable<Spec['redis']['tls']>,
    fresh: (name: string) => Promise<SecretValues>,
  ): Promise<TlsOptions> {
    const [ca, cert] = await Promise.all([
      caSecretRef && fresh(caSecretRef.name),
      clientCertSecretRef && fresh(clientCertSecretRef.name),
    ])
    return {
      serverName,
      ...(ca === undefined || caSecretRef === undefined
        ? {}
        : {
            ca: this.#need(caSecretRef.name, caSecretRef.key, ca.get(caSecretRef.key, 'open')),
            caFrom: `key ${caSecretRef.key} of Secret ${caSecretRef.name}`,
          }),
      ...(cert === undefined || clientCertSecretRef === undefined
        ? {}
        : {
            cert: this.#need(clientCertSecretRef.name, 'tls.crt', cert.get('tls.crt', 'open')),
            key: this.#need(clientCertSecretRef.name, 'tls.key', cert.get('tls.key')),
          }),
    }
  }

  #need(name: string, key: string, value: string | undefined): string {
    if (value !== undefined) return value
    throw new SecretMissing(`Secret ${name} in namespace ${this.#namespace} has no key "${key}"`)
  }
}
