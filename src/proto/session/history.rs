//! The last drops.

use std::collections::VecDeque;

use super::DropRecord;
use crate::Timestamp;

/// Drops that are kept.
const KEPT: usize = 100;

/// The last drops, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    records: VecDeque<DropRecord>,
    /// The last one lasts: neither recovered nor overtaken by the session's end.
    lasts: bool,
}

impl History {
    pub(super) fn records(&self) -> Vec<DropRecord> {
        self.records.iter().cloned().collect()
    }

    pub(super) fn handle_drop(&mut self, record: DropRecord) {
        if self.records.len() >= KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
        self.lasts = true;
    }

    /// So many attempts so far.
    pub(super) fn handle_attempt(&mut self, attempts: u32) {
        if let Some(record) = self.records.back_mut().filter(|_| self.lasts) {
            record.attempts = attempts;
        }
    }

    pub(super) fn handle_recovered(&mut self, now: Timestamp) {
        if let Some(record) = self.records.back_mut().filter(|_| self.lasts) {
            record.recovered_after = Some(now.since(record.at));
        }
        self.lasts = false;
    }

    /// The session has ended: what comes next is another one's.
    pub(super) const fn handle_end(&mut self) {
        self.lasts = false;
    }
}
