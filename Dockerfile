# syntax=docker/dockerfile:1
# A static binary and nothing else: no shell, no package, no file to keep up to date. It writes nowhere unless the
# configuration says so, so that the image runs on a root file system that is read-only.

FROM rust:1.95-slim-bookworm AS build
# aws-lc-sys and SQLite are C.
RUN apt-get update && apt-get install --yes --no-install-recommends cmake gcc libc6-dev
WORKDIR /build
COPY . .
# getrandom asks the kernel instead of opening /dev/urandom, which an image without a file system does not have. An
# explicit target keeps these flags away from build scripts and procedural macros, which cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
       cargo build --release --locked --target "$target" \
    && cp "target/$target/release/sidegate" /sidegate
# A binary that asks for a library would be found out when it starts in an image without any.
RUN ldd /sidegate 2>&1 | grep --quiet --extended-regexp 'statically linked|not a dynamic executable' && /sidegate --version
# Made here, since nothing can be made in an image without a shell: a new volume takes over the owner of what it covers.
RUN mkdir --parents /image/var/lib && mkdir --mode=700 /image/var/lib/sidegate

FROM scratch
COPY --from=build /sidegate /sidegate
# Nobody: the number that other images without a user database use as well.
COPY --from=build --chown=65532:65532 /image/var/lib /var/lib
USER 65532:65532
ENV SIDEGATE_CONFIG=/etc/sidegate/config.yaml
EXPOSE 8080 8443 9902
# Asks the health listener at the port that every file in deploy/ gives it; elsewhere, give `health` another --url.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["/sidegate", "health", "--url", "http://127.0.0.1:9902"]
ENTRYPOINT ["/sidegate"]
CMD ["run"]
