//! What each client holds of the house, and how much of it anybody may hold.
//!
//! The rule is the dynamic threshold of shared buffers (Choudhury and Hahne, Dynamic Queue Length Thresholds for
//! Shared-Memory Packet Switches, 1998) with a factor of one: nobody may hold more than is still free. One client alone gets
//! half of the house, two get a third each, and a newcomer always finds room. It deliberately knows no order.

use super::Fill;
use crate::domain::by_client::ByClient;
use crate::domain::client::Client;

/// Orders and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Load {
    pub(in crate::store) orders: usize,
    pub(in crate::store) bytes: usize,
}

impl Load {
    pub(in crate::store) fn plus(self, other: Self) -> Self {
        Self { orders: self.orders + other.orders, bytes: self.bytes + other.bytes }
    }

    pub(in crate::store) fn minus(self, other: Self) -> Self {
        Self { orders: self.orders.saturating_sub(other.orders), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn is_nothing(&self) -> bool {
        self.orders == 0
    }

    fn fits(self, room: Self) -> bool {
        self.orders <= room.orders && self.bytes <= room.bytes
    }
}

/// Why something does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum TooMuch {
    /// For the house.
    House,
    /// For this client.
    Client,
}

/// Who holds what.
#[derive(Debug, Default)]
pub(in crate::store) struct Shares {
    held: ByClient<Load>,
    total: Load,
}

impl Shares {
    /// What one client holds.
    pub(in crate::store) fn of(&self, client: &Client) -> Load {
        self.held.get(client).copied().unwrap_or_default()
    }

    /// What all hold.
    pub(in crate::store) fn total(&self) -> Load {
        self.total
    }

    /// How full a house of this size is for this client, and for everybody.
    pub(in crate::store) fn fill(&self, client: &Client, house: Load) -> (Fill, Fill) {
        let part = |held: Load, of: Load| {
            let part = |held: usize, of: usize| held as f32 / of.max(1) as f32;
            Fill { active: held.orders as u64, part: part(held.orders, of.orders).max(part(held.bytes, of.bytes)) }
        };
        (part(self.of(client), house.minus(self.total)), part(self.total, house))
    }

    /// Forgets what was counted here and goes by what somebody else has counted.
    pub(in crate::store) fn recount(&mut self, counted: impl IntoIterator<Item = (Client, Load)>) {
        self.held = counted.into_iter().collect();
        self.total = self.held.values().fold(Load::default(), |sum, held| sum.plus(*held));
    }

    /// Lets a client hold this much more, of a house of this size.
    pub(in crate::store) fn take(&mut self, client: &Client, more: Load, house: Load) -> Result<(), TooMuch> {
        let total = self.total.plus(more);
        if !total.fits(house) {
            return Err(TooMuch::House);
        }
        let held = self.held.of(client, Load::is_nothing);
        let theirs = held.plus(more);
        if !theirs.fits(house.minus(total)) {
            // Who holds nothing is not the one who has too much.
            return Err(if held.orders > 0 { TooMuch::Client } else { TooMuch::House });
        }
        (*held, self.total) = (theirs, total);
        Ok(())
    }

    /// A client holds this much more, whether it may or not.
    pub(in crate::store) fn put(&mut self, client: &Client, more: Load) {
        self.total = self.total.plus(more);
        let held = self.held.of(client, Load::is_nothing);
        *held = held.plus(more);
    }

    /// A client holds this much less.
    pub(in crate::store) fn give_back(&mut self, client: &Client, less: Load) {
        self.total = self.total.minus(less);
        if let Some(held) = self.held.get_mut(client) {
            *held = held.minus(less);
            if held.is_nothing() {
                *held = Load::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOUSE: Load = Load { orders: 12, bytes: 1_000 };

    fn client(n: u8) -> Client {
        Client::address(Ipv4Addr::new(127, 0, 0, n).into())
    }

    fn fill(shares: &mut Shares, n: u8) -> usize {
        (0..).take_while(|_| shares.take(&client(n), Load { orders: 1, bytes: 10 }, HOUSE).is_ok()).count()
    }

    #[test]
    fn one_gets_half_two_a_third_each_and_there_is_always_room_for_a_newcomer() {
        let mut shares = Shares::default();
        assert_eq!(fill(&mut shares, 1), 6);
        assert_eq!(fill(&mut shares, 2), 3);
        (0..2).for_each(|_| shares.give_back(&client(1), Load { orders: 1, bytes: 10 }));
        assert_eq!((fill(&mut shares, 2), fill(&mut shares, 1)), (1, 0));
        assert_eq!(fill(&mut shares, 3), 2);
        let whole = Load { orders: 13, bytes: 0 };
        assert_eq!(shares.take(&client(4), whole, HOUSE), Err(TooMuch::House));
        assert_eq!(shares.take(&client(1), Load { orders: 0, bytes: 900 }, HOUSE), Err(TooMuch::Client));
    }

    #[test]
    fn who_gave_everything_back_holds_nothing_and_is_forgotten() {
        let mut shares = Shares::default();
        let n = fill(&mut shares, 1);
        (0..n).for_each(|_| shares.give_back(&client(1), Load { orders: 1, bytes: 10 }));
        assert_eq!((shares.of(&client(1)), shares.total), (Load::default(), Load::default()));
        for n in 0..1_000 {
            let passing = Client::key(&n.to_string());
            shares.put(&passing, Load { orders: 1, bytes: 10 });
            shares.give_back(&passing, Load { orders: 1, bytes: 10 });
        }
        assert!(shares.held.values().count() < 256, "who holds nothing is not remembered for ever");
    }
}
