//! Writes into a case what the original really does, so that transcripts are recorded and not
//! typed.

use crate::case::{Case, Transcript};
use crate::diff;
use crate::runner::{self, Failure};
use crate::target::Target;

/// The case's text with every transcript of the original as it is now.
///
/// Comments and directives stay, and so does a transcript that still holds: its placeholders were
/// put there by hand.
///
/// # Errors
/// Why the case could not be played.
pub fn record(case: &Case) -> Result<String, Failure> {
    let mut transcripts = Vec::new();
    runner::play(case, Target::Ipvsadm, |step, actual| {
        let holds = diff::compare(&step.expected, &actual, step.manner).is_none();
        transcripts.push((step.recorded.clone(), (!holds).then_some(actual)));
    })?;
    let source: Vec<&str> = case.source.lines().collect();
    let mut lines: Vec<String> = Vec::new();
    let mut copied = 0;
    for (recorded, actual) in transcripts {
        let Some(actual) = actual else { continue };
        lines.extend(source[copied..recorded.start].iter().map(|line| (*line).to_owned()));
        lines.extend(with_placeholders(actual).to_source());
        copied = recorded.end;
    }
    lines.extend(source[copied..].iter().map(|line| (*line).to_owned()));
    Ok(lines.join("\n") + "\n")
}

/// The size of the connection table is the one number that differs between kernels in nearly every
/// listing.
fn with_placeholders(mut transcript: Transcript) -> Transcript {
    for line in &mut transcript.stdout {
        if let Some((before, behind)) = line.split_once("(size=") {
            *line = format!("{before}(size={{size}}{}", behind.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    transcript
}
