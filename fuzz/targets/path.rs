#![no_main]
use libfuzzer_sys::fuzz_target;
use sidegate::core::path::CanonicalPath;
fuzz_target!(|raw: &str| {
    if let Ok(path) = CanonicalPath::parse(raw) {
        assert!(path.as_str().starts_with('/'));
        assert!(!path.as_str().contains("zqy"));
    }
});
