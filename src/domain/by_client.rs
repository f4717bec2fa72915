//! What is kept for each client, and forgotten when it says nothing any more and its room is needed.
//!
//! On an idle house the same client comes and goes with every order, so an entry that says nothing is deliberately not taken out at
//! once.

use std::collections::HashMap;

use super::client::Client;

/// Clients that there is room for before anybody is forgotten.
const ROOM: usize = 64;

/// Something for each client.
#[derive(Clone, Debug)]
pub struct ByClient<T>(HashMap<Client, T>);

impl<T> Default for ByClient<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Default> ByClient<T> {
    /// What is kept for this client. If the map is full, those for whom what is kept `says_nothing` are forgotten first.
    pub fn of(&mut self, client: &Client, says_nothing: impl Fn(&T) -> bool) -> &mut T {
        if self.0.len() == self.0.capacity() {
            self.0.retain(|_, kept| !says_nothing(kept));
            // Room for as many as are left, so that a crowd is not looked through at every newcomer.
            self.0.reserve(self.0.len().max(ROOM));
        }
        self.0.entry(client.clone()).or_default()
    }
}

impl<T> ByClient<T> {
    /// What is kept for this client, if there is anything.
    #[must_use]
    pub fn get(&self, client: &Client) -> Option<&T> {
        self.0.get(client)
    }

    /// What is kept for this client, if there is anything.
    pub fn get_mut(&mut self, client: &Client) -> Option<&mut T> {
        self.0.get_mut(client)
    }

    /// All that is kept.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// All that is kept.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }
}

impl<T> FromIterator<(Client, T)> for ByClient<T> {
    fn from_iter<I: IntoIterator<Item = (Client, T)>>(kept: I) -> Self {
        Self(kept.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_something_is_kept_and_a_crowd_of_others_is_not() {
        let mut map = ByClient::<u32>::default();
        for n in 0..100 * ROOM {
            let kept = map.of(&Client::key(&n.to_string()), |n| *n == 0);
            *kept = u32::from(n % 100 == 0);
        }
        assert_eq!(map.values().sum::<u32>(), ROOM as u32);
        assert!(map.0.len() < 10 * ROOM, "{}", map.0.len());
        assert_eq!(map.get(&Client::key("100")), Some(&1));
        assert_eq!(map.get_mut(&Client::key("none")), None);
    }
}
