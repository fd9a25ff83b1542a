//! The numbers of signals, and which of them a stream may catch: decisions only, no effects.

use std::fmt;

/// The number of a signal, with the name it has on this system.
///
/// ```
/// use pleach_executor::signals::Signal;
/// assert_eq!(Signal::INT.to_string(), "SIGINT");
/// assert_eq!(Signal::from_raw(15), Signal::TERM);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

macro_rules! signals {
    ($($name:ident = $raw:ident, $text:literal, $doc:literal;)*) => {
        impl Signal {
            $(#[doc = $doc] pub const $name: Self = Self(libc::$raw);)*

            fn name(self) -> Option<&'static str> {
                match self.0 { $(libc::$raw => Some($text),)* _ => None }
            }
        }
    };
}

signals! {
    HUP = SIGHUP, "SIGHUP", "The terminal is gone.";
    INT = SIGINT, "SIGINT", "Ctrl-C.";
    QUIT = SIGQUIT, "SIGQUIT", "Ctrl-\\.";
    ILL = SIGILL, "SIGILL", "Illegal instruction.";
    TRAP = SIGTRAP, "SIGTRAP", "A breakpoint.";
    ABRT = SIGABRT, "SIGABRT", "The program gave itself up.";
    BUS = SIGBUS, "SIGBUS", "Memory that is not there.";
    FPE = SIGFPE, "SIGFPE", "Arithmetic that has no answer.";
    KILL = SIGKILL, "SIGKILL", "Ends a process, whatever it thinks of that.";
    USR1 = SIGUSR1, "SIGUSR1", "For the program's own use.";
    SEGV = SIGSEGV, "SIGSEGV", "Memory that is not ours.";
    USR2 = SIGUSR2, "SIGUSR2", "For the program's own use.";
    PIPE = SIGPIPE, "SIGPIPE", "Nobody reads what is written.";
    ALRM = SIGALRM, "SIGALRM", "A timer; of the actors: the grace of an orphan is over.";
    TERM = SIGTERM, "SIGTERM", "Please end.";
    CHLD = SIGCHLD, "SIGCHLD", "A child changed its state.";
    CONT = SIGCONT, "SIGCONT", "Go on; to an actor also: the parent died.";
    STOP = SIGSTOP, "SIGSTOP", "Stands still until SIGCONT.";
    TSTP = SIGTSTP, "SIGTSTP", "Ctrl-Z.";
    TTIN = SIGTTIN, "SIGTTIN", "A background process read the terminal.";
    TTOU = SIGTTOU, "SIGTTOU", "A background process wrote to the terminal.";
    WINCH = SIGWINCH, "SIGWINCH", "The terminal has another size.";
    XCPU = SIGXCPU, "SIGXCPU", "Too much processor time.";
    XFSZ = SIGXFSZ, "SIGXFSZ", "Too large a file.";
    SYS = SIGSYS, "SIGSYS", "A system call that is not allowed.";
}

impl Signal {
    /// The signal of that number.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number on this system.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Its place in a set of signals: bit `n - 1` stands for signal `n`. Zero if there is no such signal.
    ///
    /// Any thread, signal handlers included.
    #[must_use]
    pub const fn bit(self) -> u64 {
        if self.0 < 1 || self.0 > 64 { 0 } else { 1 << (self.0 - 1) }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands against catching a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is none of that number, or the C library keeps it for itself.
    Invalid,
    /// The kernel lets nobody catch it.
    Uncatchable,
    /// It tells of a fault in the code that it interrupts, which would only be met again.
    Fault,
}

impl Signal {
    pub(super) fn refusal(self) -> Option<Refusal> {
        match self {
            Signal::KILL | Signal::STOP => Some(Refusal::Uncatchable),
            Signal::ILL
            | Signal::TRAP
            | Signal::ABRT
            | Signal::BUS
            | Signal::FPE
            | Signal::SEGV
            | Signal::SYS => Some(Refusal::Fault),
            // 32 to 34 are the C libraries' own, for their threads.
            Signal(1..=31) | Signal(35..=64) => None,
            Signal(_) => Some(Refusal::Invalid),
        }
    }

    /// The signals of a set.
    pub(super) fn each(set: u64) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |signal| signal.bit() & set != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_bit_of_its_own_or_none() {
        let all = (-1..=66).map(Signal::from_raw).fold(0, |set, signal| {
            assert_eq!(set & signal.bit(), 0, "{signal}");
            set | signal.bit()
        });
        assert_eq!(all, u64::MAX);
        assert_eq!(Signal::from_raw(i32::MIN).bit(), 0);
        assert_eq!(Signal::each(all).count(), 64);
    }
}
