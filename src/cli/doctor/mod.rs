//! `autossm doctor`: all that must be right for a session, one thing after the other, each with what to do.

mod checks;
mod files;
mod service;

use std::fmt::Write;

use super::args::DoctorArgs;
use super::exit::Exit;
use super::output::{self, sanitise};
use super::runtime;
use crate::config::{self, Environment};

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    what: String,
    /// What to do about it.
    help: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// As it should be.
    Fine,
    /// Not looked at, and why.
    Skipped,
    /// Works, but somebody should know.
    Odd,
    /// A session cannot work like this.
    Wrong,
}

/// Findings about one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    title: String,
    findings: Vec<Finding>,
}

impl Section {
    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            findings: Vec::new(),
        }
    }

    fn fine(&mut self, what: impl Into<String>) {
        self.add(Verdict::Fine, what, None);
    }

    fn skipped(&mut self, what: impl Into<String>) {
        self.add(Verdict::Skipped, what, None);
    }

    fn odd(&mut self, what: impl Into<String>, help: impl Into<String>) {
        self.add(Verdict::Odd, what, Some(help.into()));
    }

    /// A failure's text says what to do itself, after a semicolon.
    fn wrong(&mut self, text: &str) {
        match text.split_once("; ") {
            Some((what, help)) => self.add(Verdict::Wrong, what, Some(help.to_owned())),
            None => self.add(Verdict::Wrong, text, None),
        }
    }

    fn add(&mut self, verdict: Verdict, what: impl Into<String>, help: Option<String>) {
        let what = what.into();
        self.findings.push(Finding { verdict, what, help });
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Skipped => "-",
            Self::Odd => "odd",
            Self::Wrong => "WRONG",
        }
    }
}

pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let environment = Environment::from_process();
    let client = args.socket.client();
    let named = args.config.named();
    let mut sections = Vec::new();
    let settings = {
        let mut section = Section::new("configuration");
        let loaded = config::load(named, &environment);
        match &loaded {
            Ok(settings) => {
                for file in config::find(named, &environment)? {
                    section.fine(format!("{} is right", file.display()));
                }
                section.fine(format!("sessions: {}", settings.sessions.len()));
            }
            Err(error) => section.add(
                Verdict::Wrong,
                error.to_string(),
                Some("correct it; `autossm check` looks again".to_owned()),
            ),
        }
        sections.push(section);
        loaded.ok()
    };
    sections.push(files::check(&environment));
    sections.extend(service::check(&environment));
    runtime::block_on(async {
        sections.push(checks::daemon(client.ok()).await);
        match &settings {
            Some(settings) => sections.extend(Box::pin(checks::accounts(settings)).await),
            None => {
                let mut section = Section::new("sessions");
                section.skipped("without a configuration there is nothing to look at");
                sections.push(section);
            }
        }
    })?;
    output::print(&show(&sections))?;
    let worst = sections
        .iter()
        .flat_map(|section| &section.findings)
        .map(|finding| finding.verdict);
    Ok(if worst.max() == Some(Verdict::Wrong) {
        Exit::Failure
    } else {
        Exit::Done
    })
}

fn show(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{}", sanitise(&section.title));
        for finding in &section.findings {
            let mut lines = finding.what.lines();
            let first = lines.next().unwrap_or_default();
            let _infallible = writeln!(text, "  {:<5}  {}", finding.verdict.word(), sanitise(first));
            for line in lines {
                let line = format!("         {}", sanitise(line));
                let _infallible = writeln!(text, "{}", line.trim_end());
            }
            if let Some(help) = &finding.help {
                let _infallible = writeln!(text, "         -> {}", sanitise(help));
            }
        }
        text.push('\n');
    }
    let count = |verdict| {
        let all = sections.iter().flat_map(|section| &section.findings);
        all.filter(|finding| finding.verdict == verdict).count()
    };
    let (wrong, odd) = (count(Verdict::Wrong), count(Verdict::Odd));
    let verdict = match (wrong, odd) {
        (0, 0) => "all is well".to_owned(),
        (0, odd) => format!("nothing is wrong, {odd} to know about"),
        (wrong, _) => format!("{wrong} wrong"),
    };
    let _infallible = writeln!(text, "{verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let mut section = Section::new("profile `work`");
        section.fine("one");
        section.wrong("ssm:StartSession: denied (AccessDenied); the identity needs it; really");
        section.odd("two\nlines", "look");
        section.skipped("bell\u{7}");
        assert_eq!(
            show(&[section]),
            "profile `work`\n  ok     one\n  WRONG  ssm:StartSession: denied (AccessDenied)\n         \
             -> the identity needs it; really\n  odd    two\n         lines\n         -> look\n  -      bell\u{fffd}\n\n1 wrong\n"
        );
    }
}
