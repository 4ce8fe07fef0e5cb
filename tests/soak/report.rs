//! What a soak has seen, added up.

use std::collections::BTreeMap;
use std::time::Duration;

use autossm::status::DropStatus;

use crate::kinds;
use crate::support::pattern::Tally;

/// Everything that was counted and measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Faults that struck, by kind.
    pub(crate) struck: BTreeMap<&'static str, usize>,
    /// From a fault that drops the websocket to the daemon's word that it has gone.
    pub(crate) noticed_at_once: Times,
    /// From a black hole's beginning to the same, where it was noticed.
    pub(crate) noticed_silence: Times,
    /// From there, or from the fault's end where that is later, to the proven re-attach; by kind.
    pub(crate) recovered: BTreeMap<&'static str, Times>,
    /// From a fault's end to bytes that go both ways again; by kind. What the agent lost it sends again slowly.
    pub(crate) flowing: BTreeMap<&'static str, Times>,
    /// The daemon's own account of every drop.
    pub(crate) drops: Drops,
    /// Calls of the control plane for each fault that dropped the websocket, its bad answers included.
    pub(crate) calls: Vec<u64>,
    /// Whole connections, both ends.
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Connections reset because AWS had ended their session.
    pub(crate) ended: u64,
    /// Other connections that broke, and whatever else must not be.
    pub(crate) wrong: Vec<String>,
}

/// The drops as `status` tells of them.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    pub(crate) count: u64,
    pub(crate) noticed_after: Times,
    pub(crate) recovered_after: Times,
    pub(crate) most_attempts: u32,
}

impl Drops {
    pub(crate) fn take(&mut self, drop: &DropStatus) {
        self.count += 1;
        self.noticed_after.add(Duration::from_millis(drop.noticed_after_ms));
        self.most_attempts = self.most_attempts.max(drop.attempts);
        if let Some(recovered) = drop.recovered_after_ms {
            self.recovered_after.add(Duration::from_millis(recovered));
        }
    }
}

/// Spans of time, for their percentiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn text(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let Percentiles { p50, p99, most } = Percentiles::of(&self.0);
        format!(
            "{:>6} {:>7} {:>7} {:>7}",
            self.0.len(),
            p50.as_millis(),
            p99.as_millis(),
            most.as_millis()
        )
    }
}

impl Report {
    /// Adds what one end of a connection has received.
    pub(crate) fn count(&mut self, tally: &Tally) {
        self.bytes += tally.received;
        self.lost += tally.lost();
        self.duplicated += tally.duplicated();
    }

    /// Nothing lost, nothing doubled, nothing broken.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.wrong.is_empty()
    }

    /// For people.
    pub(crate) fn lines(&self, took: Duration, resident: (f64, f64)) -> Vec<String> {
        let mut lines = self.table();
        let calls = Percentiles::of(&self.calls);
        lines.push(format!(
            "calls of AWS per drop: mean {:.2}, p50 {}, p99 {}, max {}; most attempts of one drop {}",
            self.calls.iter().sum::<u64>() as f64 / (self.calls.len().max(1) as f64),
            calls.p50,
            calls.p99,
            calls.most,
            self.drops.most_attempts,
        ));
        lines.push(format!(
            "{} drops, {} connections whole, {} reset with their ended session, {:.1} MB in {:.0} s",
            self.drops.count,
            self.connections,
            self.ended,
            self.bytes as f64 / 1e6,
            took.as_secs_f64(),
        ));
        let (first, last) = resident;
        lines.push(format!(
            "daemon's resident memory: {first:.1} MB at the start, {last:.1} MB at the end"
        ));
        lines.push(format!(
            "{} bytes lost, {} bytes duplicated",
            self.lost, self.duplicated
        ));
        lines.extend(self.wrong.iter().map(|wrong| format!("WRONG: {wrong}")));
        lines
    }

    /// The faults by kind, and all times in milliseconds.
    fn table(&self) -> Vec<String> {
        let row = |what: &str, count: &str, times: &str| format!("{what:<37} {count:>6} {times}");
        let columns = format!("{:>6} {:>7} {:>7} {:>7}", "n", "p50 ms", "p99", "max");
        let mut lines = vec![
            row(
                "from the fault's end, or its notice, to",
                "",
                "   attached                       | bytes both ways",
            ),
            row("", "struck", &format!("{columns}  | {columns}")),
        ];
        let of = |times: &BTreeMap<_, Times>, kind| times.get(kind).map(Times::text).unwrap_or_default();
        for kind in kinds::names() {
            let count = self.struck.get(kind).copied().unwrap_or_default();
            let times = format!("{:30}  | {}", of(&self.recovered, kind), of(&self.flowing, kind));
            lines.push(row(kind, &count.to_string(), &times));
        }
        let struck: usize = self.struck.values().sum();
        let times = format!("{:30}  | {}", all(&self.recovered), all(&self.flowing));
        lines.push(row("all", &struck.to_string(), &times));
        let rows = [
            ("noticed: close, reset, end", &self.noticed_at_once),
            ("noticed: silence, from its beginning", &self.noticed_silence),
            ("daemon's: since the last sign of life", &self.drops.noticed_after),
            ("daemon's: noticed to attached", &self.drops.recovered_after),
        ];
        lines.extend(rows.map(|(what, times)| row(what, "", &times.text())));
        lines
    }
}

/// Of all kinds together.
fn all(times: &BTreeMap<&'static str, Times>) -> String {
    let mut all = Times::default();
    for times in times.values() {
        all.0.extend(&times.0);
    }
    all.text()
}

struct Percentiles<T> {
    p50: T,
    p99: T,
    most: T,
}

impl<T: Ord + Copy + Default> Percentiles<T> {
    fn of(values: &[T]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            most: at(100),
        }
    }
}
