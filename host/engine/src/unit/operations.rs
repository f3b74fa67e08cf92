//! Operations in order, blocks included.

use autoexec_events::Level;
use autoexec_model::condition::Condition;
use autoexec_model::native::loop_items;
use autoexec_model::{IfBlock, LoopBlock, NodeStatus, Operation, OperationBody};

use super::condition::NodeFacts;
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
        self.run_operations(branch).await
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
        let items = match self.resolve_text(&block.items) {
            Ok(text) => loop_items(&text),
            Err(problem) => {
                self.error(&format!("LOOP items of {}: {problem}", operation.id));
                return Flow::End(NodeStatus::Failed);
            }
        };
        let outer = self.iteration;
        let mut flow = Flow::Continue;
        for (number, item) in items.iter().enumerate() {
            let text = format!("LOOP {} iteration {} of {}.", operation.id, number + 1, items.len());
            self.log.line(LogLine::Text(Level::Info, &text));
            self.variables.set(block.variable.clone(), item.clone(), false);
            // A loop in a loop numbers its iterations through, so that no two share a status key.
            self.iteration = Some(outer.map_or(0, |outer| outer * 1_000) + number + 1);
            flow = self.run_operations(&block.operations).await;
            if flow != Flow::Continue {
                break;
            }
        }
        self.iteration = outer;
        self.variables.remove(&block.variable);
        flow
    }
}
