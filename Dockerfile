# Three stages: compile, collect what runs, and an image without shell or package manager that runs it.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN ["npm", "ci", "--ignore-scripts"]
COPY . .
RUN ["npm", "run", "build"]
# Node makes directories without a shell: the state directory, to be handed to the user the gateway runs as.
RUN ["node", "-e", "fs.rmSync('build/test',{recursive:true,force:true});fs.mkdirSync('/state')"]

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN ["npm", "ci", "--omit=dev", "--ignore-scripts"]

FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
ENV NODE_ENV=production
# The program belongs to root: the gateway cannot change what it runs.
COPY --from=dependencies --chown=root:root /app/node_modules ./node_modules
COPY --from=build --chown=root:root /app/build ./build
COPY --chown=root:root package.json gateway.schema.json LICENSE ./
COPY --from=build --chown=nonroot:nonroot /state /var/lib/toll
USER nonroot
VOLUME ["/var/lib/toll"]
EXPOSE 8080 8082
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/nodejs/bin/node", "-e", "fetch('http://127.0.0.1:8082/livez').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["/nodejs/bin/node", "build/bin/toll.js"]
CMD ["start", "--config", "/etc/toll/gateway.config.json"]
