//! A fork server as its owner sees it: asked for children, watched, and put away.
//!
//! ```text
//!   spawn(plan, given) ─► request ─ control ─► server ─ clone3(CLONE_PARENT) ─► child of the owner
//!        │ waits                                  │
//!        ◄─ Ask ◄─ reader, a task of the run ◄────┘ number, pid, pidfd
//!                     └─ end of the line ─► the server is gone: whoever waits is told; a child nobody was told of is put down
//! ```
//!
//! * `server.rs`: the handle, and the task that reads answers. `server/wire.rs`: requests and answers as bytes.
//!   `server/serve.rs`: the server's own life. `server/twin.rs`: one that a child brings along.
//!
//! Rules:
//! * **Every Child Has an Owner**: an answer that nobody waits for any more is a child that is killed and reaped by the run.
//!   A child for which no answer came, because the server died in between, is known by the page (`sys/births.rs`).
//! * Answers come in the order of the requests, because a server does one thing at a time.
//! * The server is a child like any other: killed and reaped when its handle goes.

mod serve;
mod twin;
mod wire;

pub(crate) use serve::{Offspring, Server};
pub(crate) use twin::{Split, Twin, split};

use crate::born::Born;
use crate::error::SpawnError;
use crate::exec::{self, Errand};
use crate::fork::{Forked, ask, exits_are_kept};
use crate::held::{Making, making};
use crate::image::Image;
use crate::marker::{Marker, Office};
use crate::plan::Plan;
use crate::process::{Pid, Process, put_down};
use crate::signal::Signal;
use crate::stops::Stops;
use crate::surroundings::{Environment, Surroundings};
use crate::sys;
use crate::sys::births::Page;
use crate::sys::packets::{MOST_FDS, Patience, receive_packet, send_packet};
use crate::sys::surroundings::Privileges;
use pleach_executor::fd::AsyncFd;
use pleach_executor::sync::{Event, Lock};
use pleach_executor::{Cancelled, either, low_level, move_on_after};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;
use wire::{LONGEST, Reply, Request, Stage};

/// How long a server may take for an answer: it has nothing else to do. One that takes longer hangs in the system, or is
/// stopped where nothing tells of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A pristine process of one thread that makes children for this one: what they cost does not depend on how large this
/// process is, nor on its threads.
///
/// It is this program started again, as far as [`reborn`](crate::reborn()), and its children go on from there. They are
/// children of *this* process in every respect (CLONE_PARENT).
///
/// Dropping it ends it; its children live on.
///
/// # References
///
/// clone3(2), unix(7) (SCM_RIGHTS).
pub struct ForkServer {
    shared: Rc<Shared>,
}

struct Shared {
    name: String,
    /// Until it is reaped.
    process: RefCell<Option<Process>>,
    pid: Pid,
    control: AsyncFd<OwnedFd>,
    page: Page,
    /// Whose request is next.
    turn: Lock<()>,
    waiting: RefCell<VecDeque<Rc<Ask>>>,
    last: Cell<u64>,
    is_gone: Cell<bool>,
    /// It has been reaped.
    ended: Event,
    /// Its last ones, if it had any.
    words: RefCell<String>,
    /// Has it said that there can be none here?
    is_forbidden: Cell<bool>,
    /// What tells that it was stopped.
    stops: RefCell<Option<Rc<Stops>>>,
    /// The privileges that its children have: those that this process had when it was started.
    privileges: Privileges,
    /// What its children have, unless they are told another.
    environment: Environment,
    /// The one that was told last, as a file.
    changed: RefCell<Option<(Environment, OwnedFd)>>,
}

/// A request that was sent.
struct Ask {
    number: u64,
    answer: RefCell<Option<Result<Made, SpawnError>>>,
    done: Event,
    is_wanted: Cell<bool>,
    /// Keeps a number free for the pidfd that comes with the answer: it is received into one, or lost.
    spare: RefCell<Option<OwnedFd>>,
    /// Until there is an answer.
    making: Cell<Option<Making>>,
}

/// A child that was made, and nobody's yet.
struct Made {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    making: Option<Making>,
}

impl Made {
    /// It gets its owner, or is put down.
    fn into_process(mut self, name: String) -> io::Result<Process> {
        let pid = self.pid;
        let pidfd = match self.pidfd.take() {
            Some(pidfd) => pidfd,
            // No number was free for the one that came.
            None => sys::pidfd_open(pid).inspect_err(|_| put_down(pid, None))?,
        };
        let process = Process::new(pid, name, pidfd, Box::new(()));
        // Not before: until here nobody holds it.
        drop(self.making.take());
        process
    }
}

impl ForkServer {
    /// Starts one by exec. It is ready when it answers its first request.
    ///
    /// `plan` is for the server itself, `last_words` and a fault among it.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**.
    ///
    /// # Errors
    ///
    /// Those of [`exec`](crate::exec()).
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub async fn start(plan: Plan, image: &Image) -> Result<Self, SpawnError> {
        pleach_executor::checkpoint().await?;
        let environment = Environment::look();
        let (page, file) = Page::new().map_err(no_page)?;
        let ends = sys::packets::packets().map_err(SpawnError::system("socketpair"))?;
        let errand = Errand { plan, office: Office::Server, given: vec![file], ends };
        let (process, control) = exec::birth(errand, image)?;
        Self::watch(process, control, page, environment).map_err(SpawnError::system("register control"))
    }

    /// The one that a child was born with, if it was to have one; once. To be called in the run of the child.
    ///
    /// # Errors
    ///
    /// If the reactor refuses its descriptors; the server has ended.
    ///
    /// # Panics
    ///
    /// Outside a run.
    pub fn of(born: &Born) -> io::Result<Option<Self>> {
        let Some(mut twin) = born.take_twin() else { return Ok(None) };
        let (pidfd, control, page) = (twin.pidfd.take(), twin.control.take(), twin.page.take());
        let (Some(pidfd), Some(control), Some(page)) = (pidfd, control, page) else { return Ok(None) };
        let process = Process::new(twin.pid, format!("{} (fork server)", born.name()), pidfd, Box::new(()))?;
        Self::watch(process, control, page, twin.environment.clone()).map(Some)
    }

    fn watch(process: Process, control: OwnedFd, page: Page, environment: Environment) -> io::Result<Self> {
        let shared = Rc::new(Shared {
            name: process.name().to_owned(),
            pid: process.pid(),
            process: RefCell::new(Some(process)),
            control: AsyncFd::sole(control)?,
            page,
            turn: Lock::new(()),
            waiting: RefCell::default(),
            last: Cell::new(0),
            is_gone: Cell::new(false),
            ended: Event::new(),
            words: RefCell::default(),
            is_forbidden: Cell::new(false),
            stops: RefCell::default(),
            privileges: Privileges::look(),
            environment,
            changed: RefCell::default(),
        });
        let reads = Rc::clone(&shared);
        low_level::spawn_system(async move { reads.read().await });
        Ok(Self { shared })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.shared.pid
    }

    /// From now on a server that is stopped (SIGSTOP and its kin) while somebody waits for its answer is killed by the event.
    /// Without this it is after 15 s, as one that does not answer.
    pub fn heed(&self, stops: Rc<Stops>) {
        *self.shared.stops.borrow_mut() = Some(stops);
    }

    /// Can it make no more children? Then it has ended, or is about to.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared.is_gone.get()
    }

    /// Ends it, and waits until it is reaped. Its children live on.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. Cancelled, it has been killed, and the run reaps it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], from the scope around.
    pub async fn end(self) -> Result<(), Cancelled> {
        self.shared.kill();
        self.shared.ended.wait().await
    }

    /// Makes a child. The contract is that of [`exec`](crate::exec()), except that no image is loaded, that numbers of
    /// descriptors are what they happen to be, and that it begins where `reborn` was called in the server: what `main` did
    /// before that has not been done again.
    ///
    /// It has the directory, the umask, the limits, the niceness and the environment of this process at this moment.
    /// `given` stays open here.
    ///
    /// # Cancellation
    ///
    /// A checkpoint always. **Strict**: cancelled or dropped, no child is left. One that was being made meanwhile is killed
    /// and reaped by the run.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; nothing is left of the attempt. [`SpawnError::ServerGone`] if the server ended before it answered:
    /// another one may be asked. One that was stopped ([`heed`](ForkServer::heed)) or does not answer for 15 s is killed; so is one that was started with other privileges
    /// (users, groups, capabilities, `no_new_privs`). Of namespaces, the root directory, the control group, scheduling and
    /// filters (seccomp, Landlock) its children have what the server has: whoever changes them starts another one.
    ///
    /// # Panics
    ///
    /// Outside the run that it was started in.
    pub async fn spawn(&self, plan: &Plan, given: &[OwnedFd]) -> Result<Forked, SpawnError> {
        pleach_executor::check()?;
        ask(plan)?;
        exits_are_kept()?;
        let shared = &self.shared;
        shared.require_same_privileges()?;
        let (ours, theirs) = sys::link().map_err(SpawnError::system("socketpair"))?;
        let directory = sys::surroundings::directory().map_err(SpawnError::system("open ."))?;
        let environment = shared.changed_environment().map_err(SpawnError::system("memfd_create"))?;
        let mut fds: Vec<RawFd> = vec![theirs.as_raw_fd(), directory.as_raw_fd()];
        let changed = shared.changed.borrow().as_ref().map(|(_, file)| file.as_raw_fd());
        fds.extend(changed.filter(|_| environment));
        fds.extend(given.iter().map(AsRawFd::as_raw_fd));
        let count = u16::try_from(given.len()).ok().filter(|_| fds.len() <= MOST_FDS);
        let count = count.ok_or_else(|| too_large("given"))?;
        let office = if plan.spawns { Office::Spawner } else { Office::Leaf };
        let marker = Marker::new(plan, office, sys::pid(), count).to_text();
        let surroundings = Surroundings::look().map_err(SpawnError::system("look at the surroundings"))?;
        let number = shared.last.get() + 1;
        shared.last.set(number);
        let request = Request { number, surroundings, environment, marker: &marker }.to_bytes();
        if request.len() > LONGEST {
            return Err(too_large("name"));
        }
        let making = making();
        shared.send(&request, &fds).await?;
        // Closes our copy of the child's end: from here on its end is the child's alone, and EOF means something.
        drop(theirs);
        let made = shared.answer_to(number, directory, making).await?;
        let process = made.into_process(plan.name.clone()).map_err(SpawnError::system("register pidfd"))?;
        Ok(Forked { process, link: UnixStream::from(ours) })
    }
}

/// Without the page there is no server. A machine without memory or numbers is something else.
fn no_page(error: io::Error) -> SpawnError {
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES) => {
            SpawnError::NoServer { why: format!("memfd_create: {error}") }
        }
        _ => SpawnError::System { step: "memfd_create", error },
    }
}

fn too_large(step: &'static str) -> SpawnError {
    SpawnError::System { step, error: io::ErrorKind::InvalidInput.into() }
}

impl Shared {
    /// Is the environment another than the server's? Then it is there as a file.
    fn changed_environment(&self) -> io::Result<bool> {
        let now = Environment::look();
        if now == self.environment {
            return Ok(false);
        }
        let mut changed = self.changed.borrow_mut();
        if changed.as_ref().is_none_or(|(told, _)| *told != now) {
            let file = now.to_file()?;
            *changed = Some((now, file));
        }
        Ok(true)
    }

    /// What this process has given up its children must not have.
    fn require_same_privileges(&self) -> Result<(), SpawnError> {
        if Privileges::look() == self.privileges {
            return Ok(());
        }
        self.is_gone.set(true);
        self.kill();
        let why =
            format!("{}: the privileges of this process are others than when it was started", self.name);
        Err(SpawnError::ServerGone { why })
    }

    /// Sends a request: from then on there is an answer to come.
    async fn send(&self, request: &[u8], fds: &[RawFd]) -> Result<(), SpawnError> {
        // One waits for room, the others in line: and nobody overtakes.
        let _turn = self.turn.lock().await?.map_err(|_| self.gone())?;
        loop {
            if self.is_gone.get() {
                return Err(self.gone());
            }
            match send_packet(self.control.get_ref().as_fd(), request, fds) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.control.clear_writable();
                    crate::process::only_waiter(self.control.writable().await)?;
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    // What it said before is there still.
                    let _ended = self.read_what_is_there();
                    return Err(self.gone());
                }
                Err(error) => return Err(SpawnError::System { step: "ask the fork server", error }),
            }
        }
    }

    async fn answer_to(&self, number: u64, spare: OwnedFd, making: Making) -> Result<Made, SpawnError> {
        let ask = Rc::new(Ask {
            number,
            answer: RefCell::default(),
            done: Event::new(),
            is_wanted: Cell::new(true),
            spare: RefCell::new(Some(spare)),
            making: Cell::new(Some(making)),
        });
        self.waiting.borrow_mut().push_back(Rc::clone(&ask));
        let _unwanted_on_drop = Withdraw(Rc::clone(&ask));
        let wait = either(ask.done.wait(), self.kill_if_stopped());
        let waited = move_on_after(ANSWER_LIMIT, async |_| wait.await).await;
        // A child that was made is never denied, even if the wait for it was cancelled meanwhile.
        match (ask.answer.take(), waited) {
            (Some(answer), Err(c)) => {
                low_level::absorb(c);
                answer
            }
            (Some(answer), Ok(_)) => answer,
            (None, Err(c)) => Err(c.into()),
            (None, Ok(_)) => {
                self.kill();
                Err(SpawnError::ServerGone {
                    why: format!("{} gave no answer for {ANSWER_LIMIT:?}", self.name),
                })
            }
        }
    }

    /// Kills it when it is stopped; whoever waits for an answer is told by the end of the line, as of any death.
    async fn kill_if_stopped(&self) -> Result<(), Cancelled> {
        let stops = self.stops.borrow().clone();
        if let Some(stops) = stops {
            let mut seen = 0;
            while self.stopped_by().is_none() {
                seen = stops.since(seen).await?;
            }
            self.put_away("it was stopped");
        }
        pleach_executor::sleep_forever().await.map(|never| match never {})
    }

    fn stopped_by(&self) -> Option<Signal> {
        self.process.borrow().as_ref().and_then(Process::stopped_by)
    }

    /// Kills it, and says why to those who ask.
    fn put_away(&self, why: &str) {
        let mut words = self.words.borrow_mut();
        if words.is_empty() {
            why.clone_into(&mut words);
        }
        self.is_gone.set(true);
        self.kill();
    }

    /// By its line as well: who has given up the right to kill it still has that.
    fn kill(&self) {
        if let Some(process) = &*self.process.borrow() {
            let _ = process.signal(Signal::KILL);
        }
        sys::shut_down(self.control.get_ref().as_fd());
    }

    fn gone(&self) -> SpawnError {
        let words = self.words.borrow();
        let why = if words.is_empty() { "it has ended".to_owned() } else { format!("it said: {words}") };
        let why = format!("{}: {why}", self.name);
        if self.is_forbidden.get() { SpawnError::NoServer { why } } else { SpawnError::ServerGone { why } }
    }

    // ---- the reader

    /// Reads answers until the line ends. When the run ends, or the handle goes, so does the server, and with it the line.
    async fn read(self: Rc<Self>) {
        loop {
            if let Err(c) = crate::process::only_waiter(self.control.readable().await) {
                low_level::absorb(c);
                self.kill();
                break;
            }
            if self.read_what_is_there().is_break() {
                return self.end().await;
            }
        }
        let rest = pleach_executor::shielded(async |_| {
            while self.read_what_is_there().is_continue() {
                crate::process::only_waiter(self.control.readable().await)?;
            }
            Ok(())
        });
        if let Err(c) = rest.await {
            // Under a shield nothing cancels it.
            low_level::absorb(c);
        }
        self.end().await;
    }

    fn read_what_is_there(&self) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        let mut buffer = [0; 512];
        loop {
            let next = self.waiting.borrow().front().cloned();
            drop(next.as_ref().and_then(|ask| ask.spare.take()));
            match receive_packet(self.control.get_ref().as_fd(), &mut buffer, Patience::None) {
                Ok(packet) if packet.len > 0 => {
                    let mut fds = packet.fds;
                    let Some(reply) = Reply::parse(&buffer[..packet.len]) else {
                        // Not an answer: its last words. The end of the line comes next.
                        *self.words.borrow_mut() =
                            String::from_utf8_lossy(&buffer[..packet.len]).into_owned();
                        continue;
                    };
                    self.deliver(reply, fds.take(0));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(ask) = next {
                        *ask.spare.borrow_mut() = sys::duplicate(self.control.get_ref()).ok();
                    }
                    self.control.clear_readable();
                    return Continue(());
                }
                // It has left requests unread, which is told before what it has said.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
                Ok(_) | Err(_) => return Break(()),
            }
        }
    }

    fn deliver(&self, reply: Reply, pidfd: Option<OwnedFd>) {
        if reply.stage == Stage::Forbidden {
            return self.is_forbidden.set(true);
        }
        let Some(ask) = self.waiting.borrow_mut().pop_front() else { return };
        debug_assert_eq!(ask.number, reply.number, "answers come in the order of the requests");
        let answer = match reply.stage {
            Stage::Made => Ok(Made { pid: Pid::from_raw(reply.pid), pidfd, making: ask.making.take() }),
            stage => {
                let error = io::Error::from_raw_os_error(reply.errno);
                Err(SpawnError::System { step: stage.step(), error })
            }
        };
        self.give(&ask, answer);
    }

    /// An answer goes to whoever waits for it; a child that nobody wants is put down.
    fn give(&self, ask: &Ask, answer: Result<Made, SpawnError>) {
        if ask.is_wanted.get() {
            *ask.answer.borrow_mut() = Some(answer);
            ask.done.set();
        } else if let Ok(made) = answer {
            drop(made.into_process(self.name.clone()));
        }
    }

    /// The line has ended, and with it the server.
    async fn end(&self) {
        self.is_gone.set(true);
        self.kill();
        let waiting = self.waiting.take();
        if let Some(first) = waiting.front()
            && let Some(pid) = self.page.child_of(first.number)
        {
            drop(Made { pid, pidfd: None, making: first.making.take() }.into_process(self.name.clone()));
        }
        for ask in waiting {
            self.give(&ask, Err(self.gone()));
        }
        let process = self.process.take();
        if let Some(process) = process
            && let Err(c) = pleach_executor::shielded(async |_| process.wait().await).await
        {
            // Under a shield nothing cancels it; if something did, the drop of the process reaps.
            low_level::absorb(c);
        }
        self.ended.set();
    }
}

/// Whoever waited for an answer does not any more; one that has come and was not taken is put down.
struct Withdraw(Rc<Ask>);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.is_wanted.set(false);
        if let Some(Ok(made)) = self.0.answer.take() {
            drop(made.into_process(String::new()));
        }
    }
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        self.shared.is_gone.set(true);
        self.shared.kill();
    }
}

impl fmt::Debug for ForkServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForkServer")
            .field("pid", &self.shared.pid)
            .field("waiting", &self.shared.waiting.borrow().len())
            .field("is_gone", &self.shared.is_gone.get())
            .finish_non_exhaustive()
    }
}
