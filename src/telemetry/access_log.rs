//! The access log: one line for each request, written off the request path.
//!
//! A worker writes its line into a buffer of its own and goes on. One thread swaps the full buffers for empty ones and
//! writes each with one call. Where the destination cannot keep up, lines are dropped and counted: a log never makes a
//! request wait, and never takes more memory than its buffers.

mod entry;
mod escape;
mod writer;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;

pub use self::entry::{Entry, Upstream, loggable_path};
use self::writer::{Lane, Writer};
use super::Format;

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    None,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// Why the access log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be opened.
    #[error("cannot open the access log {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the thread that writes the access log")]
    Thread(#[from] io::Error),
}

/// The access log of the process.
#[derive(Debug)]
pub struct AccessLog {
    writer: Option<Writer>,
    format: Format,
}

impl AccessLog {
    /// Opens the destination and starts the thread that writes to it. `dropped` counts the lines that are lost.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not be started.
    pub fn start(destination: &Destination, format: Format, dropped: IntCounter) -> Result<Self, StartError> {
        let sink: Box<dyn Write + Send> = match destination {
            Destination::None => return Ok(Self { writer: None, format }),
            Destination::Stdout => Box::new(io::stdout()),
            Destination::File(path) => Box::new(open(path)?),
        };
        Self::to_sink(sink, format, dropped)
    }

    fn to_sink(sink: Box<dyn Write + Send>, format: Format, dropped: IntCounter) -> Result<Self, StartError> {
        Ok(Self { writer: Some(Writer::start(sink, dropped)?), format })
    }

    /// The end at which one worker puts its lines in.
    #[must_use]
    pub fn worker(&self) -> WorkerLog {
        WorkerLog { lane: self.writer.as_ref().map(Writer::lane), format: self.format }
    }

    /// Writes what is there and ends, or gives up after `wait`: the destination may be stuck.
    pub fn close(self, wait: Duration) {
        if let Some(writer) = self.writer {
            writer.close(wait);
        }
    }
}

fn open(path: &Path) -> Result<std::fs::File, StartError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|source| StartError::Open { path: path.to_owned(), source })
}

/// One worker's end of the access log.
#[derive(Debug, Clone)]
pub struct WorkerLog {
    lane: Option<Arc<Lane>>,
    format: Format,
}

impl WorkerLog {
    /// Whether lines go anywhere: an entry that nobody reads need not be made.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.lane.is_some()
    }

    /// Adds a line, or counts it as dropped.
    pub fn record(&self, entry: &Entry<'_>) {
        let Some(lane) = &self.lane else { return };
        lane.append(|line| match self.format {
            Format::Json => entry.write_json(line),
            Format::Text => entry.write_text(line),
        });
    }
}

#[cfg(test)]
mod tests;
