//! An explanation as text and as JSON.

use std::fmt::Write;

use super::report::{Report, StepResult, Verdict};

/// For reading: a line a step, then the decision, then what the backend sees.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let result = match step.result {
            StepResult::Ok => "ok",
            StepResult::Failed => "FAILED",
            StepResult::Shadowed => "SHADOW",
            StepResult::Skipped => "-",
        };
        // Writing into memory cannot fail.
        _ = writeln!(text, "{:<8} {result:<7} {}", step.step.name(), terminal(&step.detail));
    }
    _ = writeln!(text, "\n{}", verdict(report));
    if !report.headers.is_empty() {
        text.push_str("\nheaders for the backend:\n");
    }
    for (name, value) in &report.headers {
        _ = writeln!(text, "  {name}: {}", terminal(value));
    }
    text
}

/// One JSON object.
pub(super) fn json(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|json| json + "\n")
}

fn verdict(report: &Report) -> String {
    match (report.decision, report.reason) {
        (Verdict::Deny, reason) => format!("denied: {} {}", report.status, reason.unwrap_or_default()),
        (Verdict::Allow, Some(reason)) => format!("allowed in shadow mode; would be denied: {reason}"),
        (Verdict::Allow, None) => "allowed".to_owned(),
    }
}

/// Without controls: what the request says must not speak to the terminal.
fn terminal(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{FFFD}' } else { char }).collect()
}
