# The image `xetl image push` builds without Docker, for those who want Docker:
# a static xetl-runtime, CA roots, a non-root user, nothing else.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make runtime && mkdir -p /image/tmp /image/app /image/etc/ssl/certs \
    && install -m 0555 bin/xetl-runtime /image/app/ \
    && install -m 0444 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chmod 1777 /image/tmp

FROM scratch
COPY --from=build /image/ /
ENV PATH=/app SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt MIMALLOC_PURGE_DELAY=0 MIMALLOC_ARENA_EAGER_COMMIT=0
USER 65532:65532
ENTRYPOINT ["/app/xetl-runtime"]
