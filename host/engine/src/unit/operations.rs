//! Operations in order, blocks included.

use autoexec_events::Level;
use autoexec_model::condition::Condition;
use autoexec_model::native::{item_mark, loop_items};
use autoexec_model::{IfBlock, LoopBlock, NodeStatus, OpStatus, Operation, OperationBody};

use super::condition::NodeFacts;
use super::loops::LoopPlace;
use super::{Flow, Unit};
use crate::ports::LogLine;

impl Unit<'_> {
    /// Runs operations until one ends the node. Boxed because blocks hold operations.
    pub(super) fn run_operations<'b>(
        &'b mut self,
        operations: &'b [Operation],
    ) -> std::pin::Pin<Box<dyn Future<Output = Flow> + Send + 'b>> {
        Box::pin(async move {
            for operation in operations {
                if let Some(status) = self.stopped() {
                    return Flow::End(status);
                }
                let flow = match &operation.body {
                    OperationBody::Call(call) => self.run_call(operation, call).await,
                    OperationBody::If(block) => self.run_if(block).await,
                    OperationBody::Loop(block) => self.run_loop(operation, block).await,
                };
                if flow != Flow::Continue {
                    return flow;
                }
            }
            Flow::Continue
        })
    }

    async fn run_if(&mut self, block: &IfBlock) -> Flow {
        let branch = match self.holds(&block.condition) {
            Ok(true) => &block.then,
            Ok(false) => &block.otherwise,
            Err(problem) => {
                self.error(&format!("IF condition [ {} ]: {problem}", block.condition));
                return Flow::End(NodeStatus::Failed);
            }
        };
        let flow = self.run_operations(branch).await;
        // A block has no status of its own (`spec/native-ops.md` §7.1).
        self.previous = Some(OpStatus::Pending);
        flow
    }

    fn holds(&self, text: &str) -> Result<bool, String> {
        let condition = Condition::parse(text).map_err(|error| error.to_string())?;
        let environment = self.teller.shared.environment.snapshot();
        let facts = NodeFacts {
            variables: &self.variables,
            environment: &environment,
            job_dir: self.teller.shared.settings.job_dir.root(),
        };
        let value = condition.evaluate(&facts).map_err(|error| error.to_string())?;
        self.log.line(LogLine::Condition(text, value));
        Ok(value)
    }

    async fn run_loop(&mut self, operation: &Operation, block: &LoopBlock) -> Flow {
        let resolved = match self.resolve_text(&block.items) {
            Ok(resolved) => resolved,
            Err(problem) => {
                self.error(&format!("LOOP items of {}: {problem}", operation.id));
                return Flow::End(NodeStatus::Failed);
            }
        };
        let items = loop_items(&resolved.text);
        let outer = self.iteration.clone();
        let job = &self.teller.shared.settings.job;
        let marks = items.iter().map(|item| item_mark(job, item)).collect();
        let place = LoopPlace { id: &operation.id, outer: outer.as_deref(), body: &block.operations };
        place.follow_items(&mut self.state, marks);
        let before = self.variables.get(&block.variable).map(|found| (found.text.into_owned(), found.secret));
        let mut flow = Flow::Continue;
        for (number, item) in items.iter().enumerate() {
            let text = format!("LOOP {} iteration {} of {}.", operation.id, number + 1, items.len());
            self.log.line(LogLine::Text(Level::Info, &text));
            self.variables.set(block.variable.clone(), item.clone(), resolved.tainted);
            // A loop in a loop has the outer number as well, so that no two iterations share a status key.
            self.iteration = Some(match &outer {
                Some(outer) => format!("{outer}.{}", number + 1),
                None => (number + 1).to_string(),
            });
            flow = self.run_operations(&block.operations).await;
            if flow != Flow::Continue {
                break;
            }
        }
        self.iteration = outer;
        self.variables.remove(&block.variable);
        if let Some((text, hidden)) = before {
            self.variables.set(block.variable.clone(), text, hidden);
        }
        flow
    }
}
