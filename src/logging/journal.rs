//! The journal's own protocol, so that each line has its fields: `journalctl AUTOSSM_SESSION=db`, and a MESSAGE_ID with an
//! explanation in `systemd/autossm.catalog`.
//!
//! One datagram a line (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). Where there is no journal a line goes to standard
//! error, which the service manager has connected to the journal too. A journal that does not read is waited for, by the
//! thread of a [`Queue`].

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::queue::Queue;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Bytes of one value. A datagram may have about 200 KB; no line of ours comes near.
const LONGEST_VALUE: usize = 16 * 1024;

/// The name of the events whose message is a session's phase.
const PHASE: &str = "phase";

/// What each event of importance is, for machines and for the catalog: the event's name (or the phase it tells) and its
/// MESSAGE_ID. These numbers never change their meaning.
pub(super) const MESSAGE_IDS: &[(&str, &str)] = &[
    ("attached", "27a988c53ad74d188d6b2db14539b101"),
    ("reattaching", "71e05dc71ecc4deeb7a32074565d5cfa"),
    ("ended", "14772093babf4858a591fd772480aaf2"),
    ("awaiting_login", "4e71970742fa41dca00f654ba4902897"),
    ("awaiting_target", "63ae40a417a541d9a9ac564e5f5f0d36"),
    ("starting", "dc3ed571f4e542988d9089a6b2a7a179"),
    ("handshaking", "12dfea15f47f4c28bc40760e31b581a4"),
    ("dormant", "1de222ea7c7a45feb764a87d9fd20349"),
    ("stopped", "fdb7037e341d4bb08fc17e002dfe70d6"),
    ("daemon_started", "346b215f233b427eac8f0045c2096825"),
    ("daemon_stopped", "48e0c8a5928a4dea9c0471f550c34a67"),
    ("reloaded", "79907835d06d46ebafa86ce5cfe69572"),
    ("reload_refused", "dab2dc896bd1431b84a1c8c9c4d2f63b"),
    ("login_needed", "7e7bd78c43654b329ca369744b908a2b"),
    ("cannot_listen", "3fd0f0137d1a4bbaa90e31e5df4d1105"),
    ("not_terminated", "30685d471b864e73a586ea6269d5aa16"),
];

/// Writes every line to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    lines: Queue<Entry>,
}

impl Journal {
    /// # Errors
    /// The process may have no such socket, or no thread.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let path: PathBuf = path.to_owned();
        let write = move |entry: Entry| {
            // Not connected: the journal may be started again at any time.
            match socket.send_to(&entry.bytes(), &path) {
                Ok(_) => Ok(()),
                Err(_) => writeln!(io::stderr().lock(), "{}", entry.text()),
            }
        };
        let tell = |lines| tracing::warn!(lines, "lines are missing here: the journal did not take them in time");
        Ok(Self {
            lines: Queue::start(write, tell)?,
        })
    }

    /// The way to it.
    pub(super) fn lines(&self) -> Queue<Entry> {
        self.lines.clone()
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let entry = Entry::of(event);
        let bytes = entry.size();
        self.lines.push(entry, bytes);
    }
}

/// One line with its fields.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    priority: &'static str,
    name: &'static str,
    target: &'static str,
    file: Option<&'static str>,
    line: Option<u32>,
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut entry = Self {
            // syslog(3)
            priority: match *metadata.level() {
                Level::ERROR => "3",
                Level::WARN => "4",
                Level::INFO => "6",
                Level::DEBUG | Level::TRACE => "7",
            },
            name: metadata.name(),
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut entry);
        entry
    }

    /// Bytes it keeps while it waits.
    fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
    }

    /// For people: the message, and its fields as in the log of a terminal.
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            let _infallible = write!(text, " {name}={value:?}");
        }
        text
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        field(&mut bytes, "MESSAGE", &self.text());
        field(&mut bytes, "PRIORITY", self.priority);
        field(&mut bytes, "SYSLOG_IDENTIFIER", "autossm");
        let event = if self.name == PHASE {
            self.message.as_str()
        } else {
            self.name
        };
        if let Some((_, id)) = MESSAGE_IDS.iter().find(|(known, _)| *known == event) {
            field(&mut bytes, "MESSAGE_ID", id);
        }
        if self.name == PHASE {
            field(&mut bytes, "AUTOSSM_PHASE", &self.message);
        }
        for (name, value) in &self.fields {
            field(&mut bytes, &format!("AUTOSSM_{}", upper(name)), value);
        }
        field(&mut bytes, "AUTOSSM_MODULE", self.target);
        if let (Some(file), Some(line)) = (self.file, self.line) {
            field(&mut bytes, "CODE_FILE", file);
            field(&mut bytes, "CODE_LINE", &line.to_string());
        }
        bytes
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }
}

/// `NAME=value`, or in the form for values of several lines.
fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let end = (0..=LONGEST_VALUE.min(value.len()))
        .rev()
        .find(|end| value.is_char_boundary(*end));
    let value = value.get(..end.unwrap_or(0)).unwrap_or_default();
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// A name as the journal wants it.
fn upper(name: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use autossm_proto::session::Phase;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const CATALOG: &str = include_str!("../../systemd/autossm.catalog");

    /// What the journal gets of these lines.
    fn received(lines: impl FnOnce()) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let journal = Journal::new(&path).unwrap();
        let queue = journal.lines();
        with_default(tracing_subscriber::registry().with(journal), lines);
        assert!(queue.flush(Duration::from_secs(10)));
        let mut buffer = vec![0; 300_000];
        std::iter::from_fn(|| {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect()
    }

    #[test]
    fn a_phase_has_its_session_its_phase_and_its_message_id() {
        let received = received(|| {
            tracing::warn!(name: "phase", session = "db", from = "attached", cause = "no \"route\"", "{}", Phase::Reattaching);
            tracing::debug!(count = 3_u64, flag = true, "plain");
        });
        let mut lines = received[0].lines();
        assert_eq!(
            lines.next(),
            Some(r#"MESSAGE=reattaching session="db" from="attached" cause="no \"route\"""#)
        );
        for line in [
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=autossm",
            "MESSAGE_ID=71e05dc71ecc4deeb7a32074565d5cfa",
            "AUTOSSM_PHASE=reattaching",
            "AUTOSSM_SESSION=db",
            "AUTOSSM_FROM=attached",
            "AUTOSSM_CAUSE=no \"route\"",
        ] {
            assert!(
                received[0].lines().any(|given| given == line),
                "{line}: {}",
                received[0]
            );
        }
        let plain = &received[1];
        assert!(
            plain.contains("AUTOSSM_COUNT=3\n") && plain.contains("PRIORITY=7\n"),
            "{plain}"
        );
        assert!(
            !plain.contains("MESSAGE_ID") && !plain.contains("AUTOSSM_PHASE"),
            "{plain}"
        );
    }

    #[test]
    fn no_value_can_make_another_field() {
        let received = received(|| tracing::info!(cause = "a\nMESSAGE_ID=0", "b\nPRIORITY=0"));
        let message = "b\nPRIORITY=0 cause=\"a\\nMESSAGE_ID=0\"";
        let length = String::from_utf8((message.len() as u64).to_le_bytes().to_vec()).unwrap();
        assert!(
            received[0].starts_with(&format!("MESSAGE\n{length}{message}\n")),
            "{received:?}"
        );
        assert!(
            received[0].contains("AUTOSSM_CAUSE\n\u{e}\0\0\0\0\0\0\0a\nMESSAGE_ID=0\n"),
            "{received:?}"
        );
    }

    #[test]
    fn a_value_without_end_is_cut_between_characters() {
        let received = received(|| tracing::info!(cause = "ü".repeat(200_000), "x"));
        assert_eq!(received.len(), 1);
        assert!(received[0].contains('ü') && received[0].len() < 3 * LONGEST_VALUE);
    }

    #[test]
    fn a_journal_that_does_not_read_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::new(&path).unwrap();
        let queue = journal.lines();
        // More than its socket and the queue have room for: whoever waits for it waits for ever.
        let lines = 4000_u32;
        with_default(tracing_subscriber::registry().with(journal), || {
            for number in 0..lines {
                tracing::info!(number, cause = "x".repeat(1024), "a line");
            }
        });
        assert!(!queue.flush(Duration::from_millis(10)), "nobody has read anything");
        let mut buffer = vec![0; 300_000];
        // What was read last may not be booked yet.
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut received = 0;
        while !queue.flush(Duration::ZERO) {
            received += u32::from(socket.recv(&mut buffer).is_ok());
        }
        assert!(received > 0 && received < lines, "{received}");
    }

    #[test]
    fn every_phase_has_a_number_and_every_number_an_explanation() {
        let ids: BTreeSet<&str> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), MESSAGE_IDS.len(), "one number each");
        for phase in Phase::ALL {
            assert!(MESSAGE_IDS.iter().any(|(name, _)| *name == phase.name()), "{phase}");
        }
        let explained: BTreeSet<&str> = CATALOG
            .lines()
            .filter_map(|line| line.strip_prefix("-- "))
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(explained, ids);
    }
}
