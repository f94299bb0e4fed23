# The image `xetl image push` builds without Docker, for those who want Docker:
# a static xetl-runtime, CA roots, a non-root user, nothing else. xetl itself writes its files.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make runtime && cargo build --locked -p xetl
RUN XETL_RUNTIME_BIN=bin/xetl-runtime target/debug/xetl image build --rootfs /image

FROM scratch
COPY --from=build /image/ /
ENV PATH=/app SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt MIMALLOC_PURGE_DELAY=0 MIMALLOC_ARENA_EAGER_COMMIT=0
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/app/xetl-runtime"]
