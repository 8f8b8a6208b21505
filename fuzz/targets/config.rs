//! A configuration is read or refused with places that are in it, without a panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sidegate::config;

fuzz_target!(|text: &str| {
    // No environment, and no directory: what is in a file that the configuration names is not the fuzzer's business.
    if let Err(diagnostics) = config::from_text("config.yaml", text, Path::new("/nonexistent"), &|_| None) {
        assert!(!diagnostics.to_string().is_empty(), "refused without a reason");
    }
});
