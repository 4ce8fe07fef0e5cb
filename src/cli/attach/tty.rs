//! The user's terminal: as it was, in every case.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::endpoint::{LEAVE_ALTERNATE, RESTORE};

/// How the terminal was, while it is raw: for the end, and for a panic.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// Whether the other screen is shown.
static ALTERNATE: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Rows and columns of the terminal, if standard output is one.
pub(in crate::cli) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    // Some terminals do not know.
    let or = |number: u16, usual| if number == 0 { usual } else { number };
    Some((or(size.ws_row, 24), or(size.ws_col, 80)))
}

/// Whether a person sits in front of this.
pub(in crate::cli) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A terminal that passes on every key; as it was when this is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Raw(());

impl Raw {
    /// Makes the terminal raw.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // First, so that the panic can be read.
                restore(true);
                next(info);
            }));
        });
        let mut raw = before.clone();
        raw.make_raw();
        *self::before() = Some(before);
        // From here on `Drop` restores it, whatever this says.
        let guard = Self(());
        // What was typed ahead stays.
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(guard)
    }

    /// Notes which screen a frame leaves on.
    pub(super) fn shown(&self, alternate: bool) {
        ALTERNATE.store(alternate, Ordering::Relaxed);
    }

    /// Puts the terminal back; `writable` says whether it still takes what is written.
    pub(super) fn leave(self, writable: bool) {
        restore(writable);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore(true);
    }
}

/// Once, however often it is called.
fn restore(writable: bool) {
    let Some(before) = before().take() else {
        return;
    };
    if writable {
        let alternate = ALTERNATE.swap(false, Ordering::Relaxed);
        let leave = if alternate { LEAVE_ALTERNATE } else { "" };
        let (rows, _) = size().unwrap_or((24, 80));
        let mut stdout = io::stdout().lock();
        let written = write!(stdout, "{leave}{RESTORE}\x1b[{rows};1H\r\n").and_then(|()| stdout.flush());
        // A terminal that is gone cannot be put back.
        drop(written);
    }
    let when = if writable {
        OptionalActions::Drain
    } else {
        // What it does not take is not waited for.
        OptionalActions::Now
    };
    if let Err(error) = tcsetattr(io::stdin(), when, &before) {
        tracing::debug!(%error, "the terminal cannot be put back");
    }
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
