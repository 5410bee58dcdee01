# syntax=docker/dockerfile:1
# Runs as an account without a name, writes to /data only, and needs no shell. With a read-only root:
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v tailrace:/data -v ./tailrace.yaml:/etc/tailrace/tailrace.yaml:ro IMAGE
# The config in the container says `data_directory: /data`.

FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY cmd cmd
COPY connectors connectors
COPY src src
RUN npm run build
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
RUN mkdir /empty

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="tailrace" \
      org.opencontainers.image.description="Keeps search and embedding indices exactly in step with the databases they are made from." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production TAILRACE_CONFIG=/etc/tailrace/tailrace.yaml
WORKDIR /app
COPY LICENSE package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY --from=build --chown=65532:65532 /empty /data
USER 65532:65532
VOLUME /data
STOPSIGNAL SIGTERM
# Asks the daemon itself, over its socket in /data. A source that is away for a while is no reason to restart: only a daemon that does not answer is.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 \
  CMD ["node", "/app/dist/cmd/tailrace.js", "status", "--json"]
ENTRYPOINT ["node", "/app/dist/cmd/tailrace.js"]
CMD ["run"]
