//! Whatever path is accepted has one meaning: decoded once, nothing is left that anybody could decode or resolve further.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sidegate::core::path::CanonicalPath;

fuzz_target!(|raw: &str| {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let path = path.as_str();
    let segments = path.strip_prefix('/').expect("a path starts with a slash").split('/');
    let last = segments.clone().count() - 1;
    for (at, segment) in segments.enumerate() {
        assert!(at == last || !segment.is_empty(), "an empty segment");
        assert!(segment != "." && segment != "..", "a dot segment");
    }
    assert!(!path.contains(['\\', ';', '\u{0}']) && !path.contains(char::is_control), "{path:?}");
    let escape = |triple: &[u8]| triple[0] == b'%' && triple[1..].iter().all(u8::is_ascii_hexdigit);
    assert!(!path.as_bytes().windows(3).any(escape), "an escape is left in {path:?}");
});
