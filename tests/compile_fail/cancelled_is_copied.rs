// Nothing makes a second `Cancelled` from a first one, or one from nothing.
use pleach_executor::{Cancelled, Reason};

fn minted() -> Cancelled {
    Cancelled::mint(Reason::Shutdown)
}

fn defaulted() -> Cancelled {
    Default::default()
}

fn cloned(c: &Cancelled) -> Cancelled {
    Clone::clone(c)
}

fn main() {
    let _ = (minted, defaulted, cloned);
}
