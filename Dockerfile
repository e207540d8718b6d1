# Keyshift's image. The context is not the repository itself but what `node hack/image/main.ts context FOLDER` lays out after
# `npm run build`: package.json, package-lock.json, dist, the production node_modules, and whatever else was asked for in
# extra/. So no stage needs a network or a package manager, and the image holds what was tested.
ARG BASE=node:24-slim

FROM ${BASE} AS keyshift
WORKDIR /app
ENV NODE_ENV=production
COPY package.json package-lock.json ./
COPY node_modules ./node_modules
COPY dist ./dist
# A number: kubelet's runAsNonRoot cannot judge a name.
USER 65532:65532
ENTRYPOINT ["node"]
# The operator; worker Jobs name dist/app/worker/main.js.
CMD ["/app/dist/app/operator/main.js"]

# The same with the sample application, for the demo and the end-to-end tests.
FROM keyshift AS demo
# What `npm install @keyshift/client` would bring; ioredis and prom-client lie there already.
COPY dist/client ./node_modules/@keyshift/client
COPY extra ./

# Last, and so what a build without --target gives.
FROM keyshift
