//! The order of libraries: depth first, each once, whatever circles they form.

use std::collections::HashSet;

use super::ScriptError;

/// No script needs more; a server that names new ones for ever is stopped here.
const MOST_LIBRARIES: usize = 1000;

/// A walk over the libraries of a script, directly or indirectly used.
///
/// After each [`next`](Self::next) the libraries of that library are to be given with [`enter`](Self::enter).
pub(super) struct LibraryWalk {
    script: i64,
    seen: HashSet<i64>,
    /// The next one is last.
    waiting: Vec<i64>,
}

impl LibraryWalk {
    /// Begins at `script`, which is no library of itself even where its libraries use it.
    pub(super) fn new(script: i64, libraries: &[i64]) -> Self {
        let mut walk = Self { script, seen: HashSet::from([script]), waiting: Vec::new() };
        walk.enter(libraries);
        walk
    }

    /// The next library.
    pub(super) fn next(&mut self) -> Result<Option<i64>, ScriptError> {
        while let Some(library) = self.waiting.pop() {
            if !self.seen.insert(library) {
                continue;
            }
            if self.seen.len() > MOST_LIBRARIES {
                return Err(ScriptError::TooManyLibraries { script: self.script, limit: MOST_LIBRARIES });
            }
            return Ok(Some(library));
        }
        Ok(None)
    }

    /// Goes on with what the last library uses.
    pub(super) fn enter(&mut self, libraries: &[i64]) {
        self.waiting.extend(libraries.iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn order(script: i64, uses: &HashMap<i64, Vec<i64>>) -> Result<Vec<i64>, ScriptError> {
        let none = Vec::new();
        let mut walk = LibraryWalk::new(script, uses.get(&script).unwrap_or(&none));
        let mut order = Vec::new();
        while let Some(library) = walk.next()? {
            order.push(library);
            walk.enter(uses.get(&library).unwrap_or(&none));
        }
        Ok(order)
    }

    #[test]
    fn libraries_come_depth_first_and_once() {
        let uses = HashMap::from([(1, vec![2, 3]), (2, vec![4, 5]), (3, vec![4]), (5, vec![6])]);
        assert_eq!(order(1, &uses).unwrap(), [2, 4, 5, 6, 3]);
    }

    #[test]
    fn circles_end() {
        let uses = HashMap::from([(1, vec![2]), (2, vec![3, 2]), (3, vec![1, 2])]);
        assert_eq!(order(1, &uses).unwrap(), [2, 3]);
        assert_eq!(order(9, &HashMap::from([(9, vec![9])])).unwrap(), Vec::<i64>::new());
    }

    #[test]
    fn a_server_that_never_stops_is_stopped() {
        let endless = (0..5000).map(|id| (id, vec![id + 1])).collect();
        assert!(matches!(order(0, &endless), Err(ScriptError::TooManyLibraries { script: 0, .. })));
    }
}
