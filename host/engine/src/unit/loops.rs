//! Statuses of a loop's iterations follow their items (`spec/native-ops.md` §7.4).
//!
//! The status of an operation in a loop is kept per iteration, under `<opId>#<n>`. The items of a loop may be others when
//! the node is run again: what succeeded for an item must then be skipped for that item, wherever it stands now, and for
//! no other. So the node's status also keeps a mark of each item.

use std::collections::{HashMap, HashSet};

use autoexec_model::{OpId, Operation, for_each_operation};
use autoexec_store::NodeState;

/// A loop in one iteration of the loops around it.
pub(super) struct LoopPlace<'a> {
    /// The block.
    pub(super) id: &'a OpId,
    /// Iterations of the loops around it, outermost first: `2.1`.
    pub(super) outer: Option<&'a str>,
    /// Its operations.
    pub(super) body: &'a [Operation],
}

impl LoopPlace<'_> {
    /// Moves what is recorded about iterations to where their items stand now and forgets what belongs to no item any
    /// longer. `marks` stand for the items in their order.
    ///
    /// Statuses without marks, as an earlier version left them, stay where they are.
    pub(super) fn follow_items(&self, state: &mut NodeState, marks: Vec<String>) {
        let key = match self.outer {
            Some(outer) => format!("{}#{outer}", self.id),
            None => self.id.to_string(),
        };
        let old = state.loop_items.insert(key, marks.clone());
        let Some(old) = old.filter(|old| *old != marks) else { return };
        let moved = positions(&old, &marks);
        let ids = self.ids();
        let operations = std::mem::take(&mut state.operations);
        state.operations = operations
            .into_iter()
            .filter_map(|(id, status)| {
                Some((OpId::new(self.moved(id.as_str(), &ids, &moved)?).ok()?, status))
            })
            .collect();
        let loops = std::mem::take(&mut state.loop_items);
        state.loop_items = loops
            .into_iter()
            .filter_map(|(key, marks)| Some((self.moved(&key, &ids, &moved)?, marks)))
            .collect();
    }

    /// The ids of everything in the loop.
    fn ids(&self) -> HashSet<&str> {
        let mut ids = HashSet::new();
        for_each_operation(self.body, &mut |operation| {
            ids.insert(operation.id.as_str());
        });
        ids
    }

    /// The key under which an entry stands from now on; none when its item is gone.
    fn moved(&self, key: &str, ids: &HashSet<&str>, moved: &HashMap<usize, usize>) -> Option<String> {
        let same = Some(key.to_owned());
        let Some((id, path)) = key.rsplit_once('#').filter(|(id, _)| ids.contains(id)) else { return same };
        let inner = match self.outer {
            None => Some(path),
            Some(outer) => path.strip_prefix(outer).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(inner) = inner else { return same };
        let (number, deeper) = inner.split_once('.').map_or((inner, None), |(n, rest)| (n, Some(rest)));
        let Ok(number) = number.parse() else { return same };
        let number = moved.get(&number)?;
        let path = [self.outer, Some(&number.to_string()), deeper];
        let path: Vec<&str> = path.into_iter().flatten().collect();
        Some(format!("{id}#{}", path.join(".")))
    }
}

/// Old position → new position, both from 1, of every item that is still there. Equal items keep their order.
fn positions(old: &[String], new: &[String]) -> HashMap<usize, usize> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, mark) in new.iter().enumerate().rev() {
        places.entry(mark).or_default().push(index + 1);
    }
    let found = old.iter().enumerate().filter_map(|(index, mark)| {
        let place = places.get_mut(mark.as_str())?.pop()?;
        Some((index + 1, place))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use autoexec_model::{JobParams, OpStatus};
    use serde_json::json;

    use super::*;

    /// A loop with a call and a loop of another call.
    fn body() -> Vec<Operation> {
        let call = |id: &str| json!({"opId": id, "opName": "b/x", "opType": "runner"});
        let inner = json!({"opId": "L_2", "opName": "native/LOOP-Block", "opType": "native", "loopItems": "1,2",
            "loopItemVar": "J", "operations": [call("y_4")]});
        let phase = json!({"phaseName": "p", "phaseType": "runner", "operations": [call("x_3"), inner]});
        let params = JobParams::from_value(&json!({"runFlow": [{"groupNo": 0, "phases": [phase]}]}), "test");
        params.unwrap().groups.remove(0).phases.remove(0).operations
    }

    fn state(entries: &[&str], loops: &[(&str, &[&str])]) -> NodeState {
        let mut state = NodeState::default();
        for id in entries {
            state.operations.insert(OpId::new(*id).unwrap(), OpStatus::Succeed);
        }
        for (key, marks) in loops {
            state.loop_items.insert((*key).to_owned(), words(marks));
        }
        state
    }

    fn words(marks: &[&str]) -> Vec<String> {
        marks.iter().map(|mark| (*mark).to_owned()).collect()
    }

    fn keys(state: &NodeState) -> Vec<&str> {
        state.operations.keys().map(OpId::as_str).collect()
    }

    #[test]
    fn what_was_done_for_an_item_moves_with_it() {
        let (id, body) = (OpId::new("L_1").unwrap(), body());
        let place = LoopPlace { id: &id, outer: None, body: &body };
        let entries =
            ["first_9", "x_3#1", "y_4#1.1", "x_3#2", "y_4#2.1", "y_4#2.2", "x_3", "other_5#1", "x_3#old"];
        let mut state = state(&entries, &[("L_1", &["a", "b"]), ("L_2#1", &["1"]), ("L_2#2", &["1", "2"])]);
        place.follow_items(&mut state, words(&["new", "b", "c"]));
        assert_eq!(keys(&state), ["first_9", "x_3#2", "y_4#2.1", "y_4#2.2", "x_3", "other_5#1", "x_3#old"]);
        assert_eq!(state.loop_items.keys().collect::<Vec<_>>(), ["L_1", "L_2#2"]);
        place.follow_items(&mut state, words(&["b", "new"]));
        assert_eq!(keys(&state), ["first_9", "x_3#1", "y_4#1.1", "y_4#1.2", "x_3", "other_5#1", "x_3#old"]);
        let before = state.clone();
        place.follow_items(&mut state, words(&["b", "new"]));
        assert_eq!(state, before);
    }

    #[test]
    fn an_inner_loop_moves_only_its_own_iterations() {
        let (id, body) = (OpId::new("L_2").unwrap(), body());
        let autoexec_model::OperationBody::Loop(inner) = &body[1].body else {
            panic!("the second is a loop")
        };
        let place = LoopPlace { id: &id, outer: Some("2"), body: &inner.operations };
        let mut state = state(&["y_4#1.1", "y_4#2.1", "y_4#2.2", "y_4#22.1"], &[("L_2#2", &["1", "2"])]);
        place.follow_items(&mut state, words(&["2"]));
        assert_eq!(keys(&state), ["y_4#1.1", "y_4#2.1", "y_4#22.1"]);
    }

    #[test]
    fn equal_items_keep_their_order_and_old_records_their_places() {
        let (id, body) = (OpId::new("L_1").unwrap(), body());
        let place = LoopPlace { id: &id, outer: None, body: &body };
        let mut state = state(&["x_3#1", "x_3#3"], &[]);
        place.follow_items(&mut state, words(&["a", "b", "a"]));
        assert_eq!(keys(&state), ["x_3#1", "x_3#3"]);
        place.follow_items(&mut state, words(&["a", "a", "b"]));
        assert_eq!(keys(&state), ["x_3#1", "x_3#2"]);
    }
}
