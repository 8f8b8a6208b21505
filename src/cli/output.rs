//! Writing to the terminal.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::config::Diagnostics;

/// Writes a command's result to standard output. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Columns beside each other, under their headings.
pub(crate) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()]).collect()
}

/// A value as JSON, for programs and for reading.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// Writes something that is worth a look to standard error.
pub(crate) fn warn(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "warning: {text}");
}

/// Writes why a command failed to standard error: one cause a line, or the diagnostics of a configuration.
pub(crate) fn report(error: &anyhow::Error) {
    let text = match error.downcast_ref::<Diagnostics>() {
        Some(diagnostics) => diagnostics.render(is_coloured()),
        None => {
            let causes: Vec<String> = error.chain().skip(1).map(|cause| format!("  because: {cause}\n")).collect();
            format!("error: {error}\n{}", causes.concat())
        }
    };
    // Nobody is left to tell if this fails.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Colours are for people, and not for those who asked for none (<https://no-color.org>).
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
