import { type Log, silent, step } from '../system/log.ts'
import type { Image } from './servers.ts'

type Importer = { name: string; importImage: (tar: string) => Promise<void> }

/** Gives a cluster the images; pods name them with `imagePullPolicy: IfNotPresent` or `Never`. */
export async function importImages(cluster: Importer, images: readonly Image[], log: Log = silent): Promise<void> {
  const names = images.map((image) => image.name).join(', ')
  await step(log, `importing ${names} into cluster '${cluster.name}'`, async () => {
    for (const image of images) await cluster.importImage(image.tar)
  })
}
