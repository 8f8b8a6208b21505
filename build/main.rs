//! Has the linker put together the functions that run when a gateway starts and answers, which `build/order` lists: 3 MiB less
//! of an idle gateway lie in memory.
#![allow(clippy::print_stdout, reason = "it is how a build script speaks to cargo")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build/startup.ld");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    // Without optimization the functions are others.
    let optimized = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // GNU's linker and LLVM's read such a list. One that was asked for may be another, and would fail.
    let chosen = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("-fuse-ld"));
    if linux && optimized && !chosen {
        println!("cargo::rustc-link-arg-bins=-T{}/build/startup.ld", env!("CARGO_MANIFEST_DIR"));
    }
}
