//! One copy of a recipe that order after order brings along.
//!
//! Who places a hundred thousand orders places few recipes: what waits in line then is a pointer each. It deliberately
//! remembers one recipe for each thread and never looks for more: to find out costs one comparison.

use std::cell::RefCell;
use std::sync::Arc;

use crate::domain::recipe::Recipe;

thread_local! {
    static LATEST: RefCell<Option<Arc<Recipe>>> = const { RefCell::new(None) };
}

/// The same recipe, as the order before had it if that had the same.
pub(super) fn shared(recipe: Arc<Recipe>) -> Arc<Recipe> {
    LATEST.with_borrow_mut(|latest| match latest {
        Some(latest) if *latest == recipe => latest.clone(),
        _ => latest.insert(recipe).clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::menu;

    #[test]
    fn equal_recipes_in_a_row_are_one_and_others_are_not() {
        let recipe = |name: &str| Arc::new((*menu::example(name, 1).recipe).clone());
        let first = shared(recipe("pasta-fasta"));
        assert!(Arc::ptr_eq(&first, &shared(recipe("pasta-fasta"))));
        let mut other = recipe("pasta-fasta");
        Arc::make_mut(&mut other).steps[0].gil_held_percent = 1;
        assert_eq!(shared(other.clone()), other);
        assert!(!Arc::ptr_eq(&first, &shared(recipe("pasta-fasta"))), "only the latest is remembered");
    }
}
