//! Files that hold secrets: nobody else should be able to read them, and no message repeats anything of them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::authority::{KeyEncryptionKey, Secret};
use super::files::{Content, Files};
use super::report::Report;
use super::scalar::Flaw;
use super::yaml::Node;

/// Longest secret in bytes.
const SECRET_BYTES_MAX: usize = 1024;

impl Report<'_> {
    /// What a file holds that is nobody else's business. `what` is its name in a sentence.
    pub(super) fn secret_file<T>(
        &mut self,
        node: &Node<'_>,
        expected: &str,
        what: &str,
        files: &mut Files<'_>,
        parse: impl FnOnce(&Content) -> Result<T, Flaw>,
    ) -> Option<T> {
        let parse = |content: &Content| Ok((parse(content)?, content.is_world_readable));
        let (secret, is_world_readable) = self.file(node, expected, files, parse)?;
        if is_world_readable {
            self.warn(node.place, format!("every user of this machine can read {what}"));
        }
        Some(secret)
    }
}

/// A password or the like: one line.
pub(super) fn text(content: &Content) -> Result<Secret, Flaw> {
    let text = std::str::from_utf8(without_line_break(&content.bytes));
    match text.map_err(|_| content.flaw("not UTF-8"))? {
        "" => Err(content.flaw("there is nothing in it")),
        text if text.contains(char::is_control) => Err(content.flaw("more than one line, or control characters")),
        text if text.len() > SECRET_BYTES_MAX => Err(content.flaw("longer than 1024 bytes")),
        text => Ok(Secret(Zeroizing::new(text.to_owned()))),
    }
}

/// A key of 256 bits: its bytes, or their base64.
pub(super) fn key(content: &Content) -> Result<KeyEncryptionKey, Flaw> {
    let raw = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    // A raw key may end in a byte that looks like a line break.
    let bytes = without_line_break(&content.bytes);
    let key = raw(&content.bytes).or_else(|| raw(bytes)).or_else(|| {
        let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
        let decoded = engines.iter().find_map(|engine| engine.decode(bytes).ok()).map(Zeroizing::new)?;
        raw(&decoded)
    });
    key.map(KeyEncryptionKey).ok_or_else(|| {
        let flaw = content.flaw("neither 32 bytes nor their base64");
        flaw.hint("`openssl rand -base64 32` makes one")
    })
}

fn without_line_break(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}
