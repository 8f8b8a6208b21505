//! What backends are known to do to a path before they route by it.

/// One of them: path in, path out.
pub(crate) type Reading = fn(&str) -> String;

/// In the order in which a backend that does several would do them.
pub(crate) const READINGS: [(&str, Reading); 6] = [
    ("decode once more", decode),
    ("stop at a NUL", |path| path.split('\0').next().unwrap_or_default().to_owned()),
    ("backslash is slash", |path| path.replace('\\', "/")),
    ("drop matrix parameters", drop_parameters),
    ("merge slashes", merge_slashes),
    ("resolve dot segments", resolve_dots),
];

/// A path as a backend reads it that does those whose bit is set.
pub(crate) fn read(path: &str, which: usize) -> String {
    let chosen = READINGS.iter().enumerate().filter(|(bit, _)| which >> bit & 1 == 1);
    chosen.fold(path.to_owned(), |path, (_, (_, reading))| reading(&path))
}

/// Leaves alone what is no escape, and replaces what is no UTF-8.
fn decode(path: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits.filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        decoded.push(escaped.map_or(byte, |digits| u8::from_str_radix(digits, 16).expect("two hex digits")));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn drop_parameters(path: &str) -> String {
    let names: Vec<&str> = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    names.join("/")
}

fn merge_slashes(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

/// RFC 3986 section 5.2.4.
fn resolve_dots(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let is_directory = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", segments.join("/"), if is_directory && !segments.is_empty() { "/" } else { "" })
}

#[test]
fn the_readings_read() {
    const ALL: usize = (1 << READINGS.len()) - 1;
    for (path, meaning) in [
        ("/files/%2e%2e/admin", "/admin"),
        ("/files/..;x=y/admin", "/admin"),
        ("/files\\..\\admin", "/admin"),
        ("//admin", "/admin"),
        ("/admin%00.html", "/admin"),
        ("/x%2fy", "/x/y"),
        ("/100%", "/100%"),
        ("/a/b/..", "/a/"),
    ] {
        assert_eq!(read(path, ALL), meaning);
        assert_eq!(read(path, 0), path);
    }
}
