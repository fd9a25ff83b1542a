//! Exec of this program's own image: the parent's half.
//!
//! ```text
//!   exec(plan, image, given) ─► link, marker; everything lifted above the numbers that the child has
//!        └─► posix_spawn: 3 link, 4.. given, then the image; the rest closed ─► pidfd ─► Process ─► Forked { process, link }
//!                └─ child: main ─► reborn() (see there)
//! ```
//!
//! Nothing of this process' memory is copied, so it may have threads, and its size costs nothing: libc's posix_spawn(3)
//! lends the memory to the child until it has exec'd (CLONE_VFORK). What the child does for itself it does after the
//! exec, in `reborn`: a hook between the two (`pre_exec` of std) would make a full fork of it.
//!
//! Rules:
//! * **No Equal Numbers**: dup2(n, n) leaves CLOEXEC as it is, and a target may be a source still to be moved. So every
//!   source is lifted above all targets first; then no order matters and no two numbers are equal.
//! * All or nothing: up to the spawn everything is owned by this frame; after it a refusal puts the child down.

use crate::error::SpawnError;
use crate::fork::{Forked, ask, exits_are_kept};
use crate::held::making;
use crate::image::Image;
use crate::kin::MARK;
use crate::marker::{LINK, Marker, Office, VARIABLE};
use crate::plan::Plan;
use crate::process::{Process, put_down};
use crate::sys;
use crate::tree::open_fds;
use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;

/// Starts a process of the same image, which runs `main` again and is diverted there by [`reborn`](crate::reborn()).
///
/// The contract is that of [`fork`](crate::fork()), except that the child inherits no memory, and that this process
/// may have threads. The child has
/// * the arguments, the environment, the directory, the umask, the limits and the standard streams of this process;
/// * its link as number 3, `given` as 4 and up in their order, then its own hold of the image, and nothing else, whether
///   or not a descriptor of this process is CLOEXEC;
/// * every signal at its default and none blocked, except SIGINT and SIGPIPE, which are ignored once it is entered;
/// * a life that ends with its parent's (SIGKILL until [`Born::arm_running`](crate::Born::arm_running)).
///
/// `given` is closed here once the child has it, or if there is no child: clone what is to be shared.
///
/// The kernel ties a life to the *thread* that made it, during the boot. A [`Process`] stays on its thread, and so does
/// the child, unless its handle is leaked.
///
/// It is done inline, after one yield: this thread stands still until the child has exec'd, which is a fraction of a
/// millisecond (the rest of a child's start is its own), or as long as the file system of the image takes.
///
/// # Cancellation
///
/// A checkpoint always. **Strict**: cancelled or dropped, no child was made. There is no wait after the spawn, so a
/// child that was made is given out.
///
/// # Errors
///
/// [`SpawnError`], `NotSingleThreaded` never; nothing is left of the attempt. A child that fails afterwards, or a `main`
/// that ends without diverting it, is heard of by its link's EOF and its exit status.
///
/// # Panics
///
/// Outside a run.
///
/// # References
///
/// posix_spawn(3), PR_SET_PDEATHSIG(2const). For an example see [`reborn`](crate::reborn()).
pub async fn exec(plan: Plan, image: &Image, given: Vec<OwnedFd>) -> Result<Forked, SpawnError> {
    pleach_executor::checkpoint().await?;
    let ends = sys::link().map_err(SpawnError::system("socketpair"))?;
    let office = if plan.spawns { Office::Spawner } else { Office::Leaf };
    let (process, link) = birth(Errand { plan, office, given, ends }, image)?;
    Ok(Forked { process, link: UnixStream::from(link) })
}

/// What is to be started.
pub(crate) struct Errand {
    pub(crate) plan: Plan,
    pub(crate) office: Office,
    pub(crate) given: Vec<OwnedFd>,
    /// Of its line to us: our end, and its.
    pub(crate) ends: (OwnedFd, OwnedFd),
}

/// Starts it. Gives back its process, and our end of the line.
pub(crate) fn birth(errand: Errand, image: &Image) -> Result<(Process, OwnedFd), SpawnError> {
    let Errand { plan, office, given, ends: (ours, theirs) } = errand;
    ask(&plan)?;
    exits_are_kept()?;
    let count = u16::try_from(given.len())
        .map_err(|_| SpawnError::System { step: "given", error: io::ErrorKind::InvalidInput.into() })?;
    let marker = Marker::new(&plan, office, sys::pid(), count);
    let sources = lift(theirs, given, image, &marker).map_err(SpawnError::system("fcntl"))?;
    let words = Words::new(&marker).map_err(SpawnError::system("environment"))?;
    // Tried out on ourselves: after the spawn a refusal would leave a child that nobody holds. It also keeps a number
    // free.
    let trial = sys::pidfd_open(sys::pid()).map_err(SpawnError::system("pidfd_open"))?;
    let blocked = if office == Office::Server { sys::Mask::All } else { sys::Mask::Only(libc::SIGINT) };
    let attributes = sys::Attributes::new(blocked, MARK).map_err(SpawnError::system("posix_spawnattr"))?;
    let files = files(&sources, &marker).map_err(SpawnError::system("posix_spawn_file_actions"))?;
    let _making = making();
    let pid = sys::spawn(&words.path, &files, &attributes, &words.arguments, &words.environment)
        .map_err(SpawnError::system("posix_spawn"))?;
    // Closes our copy of the child's end: from here on its end is the child's alone, and EOF means something.
    drop(sources);
    drop(trial);
    let pidfd = match sys::pidfd_open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            drop(ours);
            put_down(pid, None);
            return Err(SpawnError::System { step: "pidfd_open", error });
        }
    };
    let process =
        Process::new(pid, plan.name, pidfd, Box::new(())).map_err(SpawnError::system("register pidfd"))?;
    Ok((process, ours))
}

/// What the child gets, in the order of its numbers from [`LINK`] on, each on a number above them all here.
fn lift(link: OwnedFd, given: Vec<OwnedFd>, image: &Image, marker: &Marker) -> io::Result<Vec<OwnedFd>> {
    let end = marker.end();
    let handed = std::iter::once(link).chain(given);
    let mut sources: Vec<OwnedFd> = handed
        .map(|fd| if fd.as_raw_fd() < end { sys::duplicate_from(&fd, end) } else { Ok(fd) })
        .collect::<io::Result<_>>()?;
    sources.push(image.lend(end)?);
    Ok(sources)
}

/// Each source to its number, and everything above closed.
fn files(sources: &[OwnedFd], marker: &Marker) -> io::Result<sys::FileActions> {
    let mut files = sys::FileActions::new()?;
    for (number, source) in (LINK..).zip(sources) {
        files.duplicate(source.as_raw_fd(), number)?;
    }
    if !files.close_from(marker.end())? {
        close_listed(&mut files, marker.end())?;
    }
    Ok(files)
}

/// Where libc cannot close a range: what is open now. What another thread opens meanwhile is CLOEXEC, if it is Rust's.
/// A number above the limit of open files, which libc refuses to close, is an error and not a leak.
fn close_listed(files: &mut sys::FileActions, from: RawFd) -> io::Result<()> {
    let listed = open_fds()?.into_iter().map(|(fd, _)| fd);
    listed.filter(|fd| *fd >= from).try_for_each(|fd| files.close(fd))
}

/// The strings of an exec.
struct Words {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Words {
    /// This process' own arguments and environment, and the marker.
    fn new(marker: &Marker) -> io::Result<Self> {
        let variables = env::vars_os().filter(|(key, _)| key != VARIABLE);
        let variables = variables.chain([(VARIABLE.into(), marker.to_text().into())]);
        let environment = variables.map(|(mut key, value)| {
            key.push("=");
            key.push(value);
            key
        });
        Ok(Self {
            path: CString::new(marker.path())?,
            arguments: env::args_os().map(terminated).collect::<io::Result<_>>()?,
            environment: environment.map(terminated).collect::<io::Result<_>>()?,
        })
    }
}

fn terminated(word: OsString) -> io::Result<CString> {
    Ok(CString::new(word.into_vec())?)
}

#[cfg(test)]
mod tests {
    use super::close_listed;
    use crate::kin::MARK;
    use crate::sys::{self, Attributes, FileActions, Mask, Who};
    use std::fs::File;
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;

    /// What `ls` sees of itself, if `close` has closed what lies above the standard streams.
    fn listed_by_a_child(close: impl FnOnce(&mut FileActions)) -> String {
        let leak = File::open("/dev/null").expect("/dev/null").into();
        sys::make_inheritable(&leak);
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut files = FileActions::new().expect("memory");
        files.duplicate(writer.as_raw_fd(), 1).expect("memory");
        close(&mut files);
        let words = ["ls", "/proc/self/fd"].map(|word| std::ffi::CString::new(word).expect("text"));
        let attributes = Attributes::new(Mask::Only(libc::SIGINT), MARK).expect("memory");
        let pid = sys::spawn(c"/bin/ls", &files, &attributes, &words, &[]).expect("there is an ls");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        assert!(sys::wait(Who::Child(pid), 0).is_ok_and(|end| end.is_some()));
        text
    }

    #[test]
    fn both_ways_to_close_leave_nothing_above() {
        // The last is the listing's own.
        let expected = "0\n1\n2\n3\n";
        assert_ne!(listed_by_a_child(|_| ()), expected, "a leak is seen");
        assert_eq!(listed_by_a_child(|files| close_listed(files, 3).expect("/proc")), expected);
        let native = |files: &mut FileActions| {
            if !files.close_from(3).expect("memory") {
                close_listed(files, 3).expect("/proc");
            }
        };
        assert_eq!(listed_by_a_child(native), expected);
    }
}
