//! curl, for what a real client does.

use std::process::Command;

/// What curl was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Runs curl with these arguments, the URL among them.
pub(crate) fn curl(arguments: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    // -q: no configuration of whoever runs the tests. The status comes last, in a line of its own.
    command.args([
        "-q",
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "--write-out",
        "\n%{http_code}",
    ]);
    let output = command.args(arguments).output().expect("curl is installed (tests/install-tools)");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let end = output.stdout.iter().rposition(|byte| *byte == b'\n').expect("a status");
    let status = str::from_utf8(&output.stdout[end + 1..]).unwrap().parse().unwrap();
    Answer { status, body: output.stdout[..end].to_vec() }
}
