//! A waiting line in which clients take turns: first come first served among the orders of one, one after another among
//! several. So who brings a hundred thousand orders makes nobody else wait for them.
//!
//! It deliberately does not know what waits, nor for what.

use std::collections::VecDeque;

use super::by_client::ByClient;
use super::client::Client;

/// What the one who hands out says to the first in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// It no longer waits; drop it.
    Drop,
    /// Not this client now; ask the next one.
    NotHim,
    /// Nobody now: it needs what is not free, and whoever is behind it must not overtake it.
    Nobody,
}

/// The line.
#[derive(Debug)]
pub struct Turns<T> {
    clients: ByClient<VecDeque<T>>,
    /// Clients with something in line; the front one is next.
    turn: VecDeque<Client>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { clients: ByClient::default(), turn: VecDeque::new() }
    }
}

/// Things that an empty queue keeps room for: an order on an idle house comes and goes at once.
const ROOM: usize = 64;

impl<T> Turns<T> {
    /// Puts something at the end of this client's line.
    pub fn push(&mut self, client: &Client, item: T) {
        let queue = self.clients.of(client, VecDeque::is_empty);
        if queue.is_empty() {
            self.turn.push_back(client.clone());
        }
        queue.push_back(item);
    }

    /// Hands out what may go now: `judge` is asked for the first of each client in turn, `taken` gets what it lets go.
    pub fn hand_out(&mut self, mut judge: impl FnMut(&Client, &T) -> Verdict, mut taken: impl FnMut(T)) {
        let mut refused = VecDeque::new();
        while let Some(client) = self.turn.pop_front() {
            let Some(queue) = self.clients.get_mut(&client) else { continue };
            let verdict = loop {
                match queue.front().map(|item| judge(&client, item)) {
                    Some(Verdict::Drop) => drop(queue.pop_front()),
                    other => break other,
                }
            };
            match verdict {
                Some(Verdict::Take) => {
                    queue.pop_front().into_iter().for_each(&mut taken);
                    if queue.is_empty() {
                        // A burst must not keep its memory for ever.
                        queue.shrink_to(ROOM);
                    } else {
                        self.turn.push_back(client);
                    }
                }
                Some(Verdict::Nobody) => {
                    self.turn.push_front(client);
                    break;
                }
                Some(_) => refused.push_back(client),
                None => {}
            }
        }
        refused.append(&mut self.turn);
        self.turn = refused;
    }

    /// Forgets whatever no longer waits.
    pub fn retain(&mut self, mut waits: impl FnMut(&T) -> bool) {
        for queue in self.clients.values_mut() {
            queue.retain(&mut waits);
        }
        let clients = &self.clients;
        self.turn.retain(|client| clients.get(client).is_some_and(|queue| !queue.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(n: u8) -> Client {
        Client::address(Ipv4Addr::new(127, 0, 0, n).into())
    }

    fn all(turns: &mut Turns<u32>, judge: impl FnMut(&Client, &u32) -> Verdict) -> Vec<u32> {
        let mut out = Vec::new();
        turns.hand_out(judge, |item| out.push(item));
        out
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let mut turns = Turns::default();
        (0..5).for_each(|i| turns.push(&client(1), i));
        turns.push(&client(2), 10);
        turns.push(&client(3), 20);
        turns.push(&client(2), 11);
        assert_eq!(all(&mut turns, |_, _| Verdict::Take), [0, 10, 20, 1, 11, 2, 3, 4]);
        assert_eq!(all(&mut turns, |_, _| Verdict::Take), [0; 0]);
    }

    #[test]
    fn who_may_not_now_is_next_the_next_time() {
        let mut turns = Turns::default();
        for i in 0..3 {
            turns.push(&client(1), i);
            turns.push(&client(2), 10 + i);
        }
        let not_one = |c: &Client, _: &u32| if *c == client(1) { Verdict::NotHim } else { Verdict::Take };
        assert_eq!(all(&mut turns, not_one), [10, 11, 12]);
        turns.push(&client(2), 13);
        assert_eq!(all(&mut turns, |_, _| Verdict::Take), [0, 13, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_holds_back_everybody_and_what_no_longer_waits_nobody() {
        let mut turns = Turns::default();
        turns.push(&client(1), 7);
        turns.push(&client(2), 1);
        let small = |_: &Client, n: &u32| if *n > 5 { Verdict::Nobody } else { Verdict::Take };
        assert_eq!(all(&mut turns, small), [0; 0]);
        let gone = |_: &Client, n: &u32| if *n == 7 { Verdict::Drop } else { Verdict::Take };
        assert_eq!(all(&mut turns, gone), [1]);
        turns.push(&client(1), 8);
        turns.retain(|n| *n != 8);
        turns.push(&client(1), 9);
        assert_eq!(all(&mut turns, |_, _| Verdict::Take), [9]);
    }
}
