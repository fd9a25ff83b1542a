//! A listener as a stream of connections: see [`crate::items`].

use super::{ListenSocket, Listener};
use crate::fd::Reads;
use crate::items::{Items, sealed::Polled};
use std::io;
use std::task::{Context, Poll};

impl<L: ListenSocket> Listener<L> {
    /// The connections as a stream of `io::Result`, as [`accept`](Listener::accept) gives them. It never ends. Feature
    /// `stream`.
    ///
    /// An error need not mean that the listener is of no use, and may come again at once: [`serve`](Listener::serve) knows
    /// which one to pass over, and when to pause.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use pleach_executor::{net::{TcpListener, TcpStream}, run};
    /// let r: std::io::Result<()> = run(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (_stream, peer) = listener.into_stream().try_next().await?.expect("it never ends");
    ///     assert_eq!(peer, client.local_addr()?);
    ///     Ok(())
    /// });
    /// r.unwrap();
    /// ```
    pub fn into_stream(self) -> Items<Listener<L>> {
        Items::new(self)
    }
}

/// Its claim on the socket.
#[derive(Debug)]
pub struct Place(Reads);

impl<L: ListenSocket> Polled for Listener<L> {
    type Yields = io::Result<L::Accepted>;
    type Place = Place;

    fn begin(&self) -> Place {
        Place(Reads::new())
    }

    fn poll_item(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Option<Self::Yields>> {
        place.0.poll(&self.fd, cx, L::accept_now).map(|accepted| Some(accepted.map_err(io::Error::from)))
    }

    fn leave(&self, place: &mut Place) {
        place.0.end(&self.fd);
    }
}
