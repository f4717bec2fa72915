//! Things that come and go by the million, each under a number that is never given twice and that says where it is kept.
//!
//! It deliberately gives no more than 2^31 numbers, a thousand times as many as an order has steps, and so leaves the
//! highest bit to its users.

/// The things that are there.
#[derive(Debug)]
pub struct Kept<T> {
    places: Vec<Option<(u64, T)>>,
    vacant: Vec<u32>,
    given: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { places: Vec::new(), vacant: Vec::new(), given: 0 }
    }
}

impl<T> Kept<T> {
    /// With room for so many: they are not moved while no more are there at once.
    #[must_use]
    pub fn with_room(things: usize) -> Self {
        Self { places: Vec::with_capacity(things), ..Self::default() }
    }

    /// Keeps it; answers its number, which is above all numbers given before.
    pub fn put(&mut self, thing: T) -> u64 {
        let place = self.vacant.pop().unwrap_or(self.places.len() as u32);
        let number = self.given << 32 | u64::from(place);
        self.given += 1;
        match self.places.get_mut(place as usize) {
            Some(vacant) => *vacant = Some((number, thing)),
            None => self.places.push(Some((number, thing))),
        }
        number
    }

    /// The thing of this number, if it is still there.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&T> {
        let (kept, thing) = self.places.get(number as u32 as usize)?.as_ref()?;
        (*kept == number).then_some(thing)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (kept, thing) = self.places.get_mut(number as u32 as usize)?.as_mut()?;
        (*kept == number).then_some(thing)
    }

    /// Takes it out.
    pub fn take(&mut self, number: u64) -> Option<T> {
        let place = number as u32;
        let taken = self.places.get_mut(place as usize)?.take_if(|(kept, _)| *kept == number);
        let (_, thing) = taken?;
        self.vacant.push(place);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_its_own_thing_and_none_that_came_to_its_place() {
        let mut kept = Kept::default();
        let (a, b) = (kept.put('a'), kept.put('b'));
        assert_eq!((kept.take(a), kept.take(a), kept.get(a)), (Some('a'), None, None));
        let c = kept.put('c');
        assert!(c > b && c != a, "numbers rise, though the place is used again");
        assert_eq!((kept.get(a), kept.get(b), kept.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!((kept.take(a), kept.take(c), kept.get(u64::MAX)), (None, Some('c'), None));
    }
}
