//! What the actors of a tree have noted, as an observer at the root hears it.
//!
//! ```text
//!   actor.note("x") ─► Event::Note ─► Notes ─► until("x"), count("x")
//! ```

#![allow(dead_code, reason = "not every test that includes this file uses all of it")]

use pleach::sync::Event as Flag;
use pleach::{Actor, Error, Event};
use std::cell::RefCell;
use std::rc::Rc;

/// What observers have heard since.
pub(crate) struct Notes {
    heard: Rc<RefCell<Vec<String>>>,
    came: Rc<RefCell<Rc<Flag>>>,
    _observation: pleach::Observation,
}

impl Notes {
    /// Of all actors below this one, from now on.
    pub(crate) fn listen() -> Self {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let came = Rc::new(RefCell::new(Rc::new(Flag::new())));
        let (hears, tells) = (Rc::clone(&heard), Rc::clone(&came));
        let observation = Actor::current().observe(move |event| {
            if let Event::Note { text, .. } = event {
                hears.borrow_mut().push(text.clone());
                tells.replace(Rc::new(Flag::new())).set();
            }
        });
        Notes { heard, came, _observation: observation }
    }

    /// Waits until so many notes begin with `text`.
    pub(crate) async fn until_so_many(&self, text: &str, many: usize) -> Result<(), Error> {
        while self.count(text) < many {
            let came = Rc::clone(&self.came.borrow());
            came.wait().await?;
        }
        Ok(())
    }

    /// Waits until a note begins with `text`.
    pub(crate) async fn until(&self, text: &str) -> Result<(), Error> {
        self.until_so_many(text, 1).await
    }

    /// How many notes begin with `text`.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.heard.borrow().iter().filter(|heard| heard.starts_with(text)).count()
    }

    /// All of them, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<String> {
        self.heard.borrow().clone()
    }
}
