//! Another configuration while the daemon runs: unchanged sessions are not touched, a wrong file changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time::timeout;

use super::notices::Plan;
use super::notify;
use super::registry::{Entry, ReloadAnswer};
use super::run::{Daemon, Happening};
use crate::config::{self, Changes, LoadError, Settings};
use crate::control::ReloadError;
use crate::status::Event;
use crate::supervisor::Ending;

/// Who waits for a reload; a signal waits for nothing.
pub(super) type Asker = Option<oneshot::Sender<ReloadAnswer>>;

/// The way of a reload, one at a time.
#[derive(Debug)]
pub(super) enum Step {
    /// The configuration was read.
    Loaded(Asker, Result<Box<Settings>, LoadError>),
    /// What had to end has ended.
    Ended(Asker, Box<Settings>, Changes),
}

/// Who reads for longer is left behind, so that later reloads find the way free.
const READING: Duration = Duration::from_secs(10);

async fn read_within<T: Send + 'static>(
    limit: Duration,
    read: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<Result<T, LoadError>, JoinError> {
    match timeout(limit, tokio::task::spawn_blocking(read)).await {
        Ok(read) => read,
        Err(_) => Ok(Err(LoadError::Slow { after: limit })),
    }
}

impl Daemon {
    /// Reads the configuration beside the loop: a file on a network may take its time, or never come.
    pub(super) fn begin_reload(&mut self, asker: Asker) {
        notify::reloading();
        let (path, environment) = (self.options.config.clone(), self.options.environment.clone());
        self.reloading.spawn(async move {
            match read_within(READING, move || config::load(path.as_deref(), &environment)).await {
                Ok(loaded) => Happening::Reload(Step::Loaded(asker, loaded.map(Box::new))),
                Err(failed) => Happening::ReloadFailed(failed),
            }
        });
    }

    pub(super) fn go_on_reloading(&mut self, step: Step) {
        match step {
            Step::Loaded(asker, Ok(settings)) => self.end_what_changed(asker, *settings),
            Step::Loaded(asker, Err(error)) => {
                let problems = error_chain(&error);
                tracing::error!(name: "reload_refused", "the configuration is wrong, so nothing has changed:\n{problems}");
                self.registry.reloaded(false, &problems);
                answer(asker, Err(ReloadError::Wrong(problems)));
                self.notify_ready();
            }
            Step::Ended(asker, settings, changes) => self.start_what_changed(asker, *settings, &changes),
        }
    }

    /// Ends what the new settings do not have, or not in this form; their listeners must be free before others start.
    fn end_what_changed(&mut self, asker: Asker, settings: Settings) {
        let changes = config::diff(&self.settings, &settings);
        let mut ending = Vec::new();
        for entry in self.registry.entries().iter() {
            let name = &entry.settings.name;
            if changes.removed.contains(name) || changes.restarted.contains(name) {
                self.ending.insert(name.clone());
                ending.push(entry.clone());
            }
        }
        self.reloading.spawn(async move {
            // Nobody wants them in this form any more, so none is left to time out.
            join_all(ending.iter().map(|entry| entry.end(Ending::Terminate))).await;
            Happening::Reload(Step::Ended(asker, Box::new(settings), changes))
        });
    }

    fn start_what_changed(&mut self, asker: Asker, settings: Settings, changes: &Changes) {
        let before: BTreeMap<String, Entry> = self
            .registry
            .entries()
            .iter()
            .map(|entry| (entry.settings.name.clone(), entry.clone()))
            .collect();
        for name in &changes.removed {
            self.board.remove(name);
            self.board.announce(Event::Removed { session: name.clone() });
        }
        // Those on demand are in no configuration.
        let on_demand = before.values().filter(|entry| entry.is_on_demand()).cloned();
        let mut entries: Vec<Entry> = on_demand.collect();
        for session in &settings.sessions {
            let goes_on = !changes.added.contains(&session.name) && !changes.restarted.contains(&session.name);
            match before.get(&session.name).filter(|_| goes_on) {
                Some(entry) => entries.push(Entry {
                    settings: Arc::new(session.clone()),
                    handle: entry.handle.clone(),
                }),
                None => entries.push(self.start_session(session.clone())),
            }
        }
        for name in &changes.added {
            self.board.announce(Event::Added { session: name.clone() });
        }
        self.registry.replace(entries);
        let log = self.follow_log_settings(&settings);
        self.desktop.follow(Plan::of(&settings));
        self.settings = settings;
        let summary = summary(changes, &log);
        tracing::info!(name: "reloaded", "configuration reloaded: {summary}");
        let status = self.registry.reloaded(true, &summary);
        answer(asker, Ok(status));
        self.notify_ready();
    }

    /// Says what became of the changes of `[log]`.
    fn follow_log_settings(&self, settings: &Settings) -> Vec<String> {
        let (old, new) = (self.settings.log, settings.log);
        let mut became = Vec::new();
        // A level given on the command line, or since then by hand, is changed by a change of the file only.
        if old.level != new.level {
            became.push(match self.options.log.set_level(new.level.as_str()) {
                Ok(()) => format!("log level now {}", new.level.as_str()),
                Err(error) => format!("log level as before: {error}"),
            });
        }
        if old.format != new.format {
            became.push("log format as before until autossm is started again".to_owned());
        }
        became
    }
}

/// `1 added, 2 removed, 1 restarted, 16 unchanged`, and what became of the log.
fn summary(changes: &Changes, log: &[String]) -> String {
    let counts = [
        (changes.added.len(), "added"),
        (changes.removed.len(), "removed"),
        (changes.restarted.len(), "restarted"),
        (changes.updated.len(), "updated"),
        (changes.unchanged.len(), "unchanged"),
    ];
    let words: Vec<String> = counts
        .into_iter()
        .filter(|(count, word)| *count > 0 || *word == "unchanged")
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    [words.as_slice(), log].concat().join(", ")
}

fn answer(asker: Asker, answer: ReloadAnswer) {
    if let Some(asker) = asker
        && asker.send(answer).is_err()
    {
        tracing::debug!("who asked for the reload does not wait for its end");
    }
}

/// The error with its causes.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reading_that_never_ends_is_left_behind() {
        let (release, never) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_millis(1);
        let read = read_within(limit, move || {
            let released = never.recv();
            assert!(released.is_err(), "nobody sends");
            Ok(())
        });
        let said = read.await.unwrap().unwrap_err().to_string();
        assert!(said.contains("could not be read within 1ms"), "{said}");
        drop(release);
    }

    #[test]
    fn the_summary_says_what_changed_and_always_what_did_not() {
        let names = |count| vec![String::new(); count];
        let mut changes = Changes::default();
        assert_eq!(summary(&changes, &[]), "0 unchanged");
        changes.added = names(1);
        changes.restarted = names(2);
        changes.unchanged = names(17);
        assert_eq!(summary(&changes, &[]), "1 added, 2 restarted, 17 unchanged");
        let log = ["log level now debug".to_owned()];
        let said = summary(&changes, &log);
        assert_eq!(said, "1 added, 2 restarted, 17 unchanged, log level now debug");
    }
}
