# syntax=docker/dockerfile:1
# A static binary and nothing else: no shell, no package, no file to keep up to date.

FROM rust:1.95-slim-bookworm AS build
# aws-lc-sys compiles C.
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

FROM scratch
COPY --from=build /sidegate /sidegate
# Nobody: the number that other images without a user database use as well.
USER 65532:65532
ENV SIDEGATE_CONFIG=/etc/sidegate/config.yaml
EXPOSE 8080 9902
# Asks the admin listener where it usually is; elsewhere, give `health` its --url.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/sidegate", "health"]
ENTRYPOINT ["/sidegate"]
CMD ["run"]
