//! The steps before a start: each runs to its end in the place of the program, under the same runtime, so that its
//! limits, its logs and its end are those of an instance.
//!
//! ```text
//! prepared ──→ step 1 ──code 0──→ step 2 … ──code 0──→ the program starts
//!                │ another code, or no end in time: the start has failed
//!                │ an order to end: halted, the launch is cancelled
//! ```

use std::mem;
use std::time::Duration;

use holm_core::node::RuntimeEvent;
use holm_model::before::Step;
use holm_model::duration::Span;
use holm_runtime::{EventKind, Launch, Outcome, RunError, Runtime};
use tokio::time::{Instant, timeout_at};

use super::Order;
use super::worker::{Failure, Prepared, WORD_TIME, Worker};

/// How a step ended.
enum StepEnd {
    Ended(Outcome),
    TooLong,
    /// Something was ordered that makes the launch pointless.
    Cancelled,
    LeaseOver,
}

impl Worker {
    /// All of them, in their order; what was heard of the lease meanwhile is in `launch`.
    pub(super) async fn run_steps(
        &mut self,
        launch: &mut Launch,
        runtime: &dyn Runtime,
    ) -> Result<Prepared, Failure> {
        let steps = mem::take(&mut launch.spec.before);
        let of = steps.len();
        for (step, number) in steps.iter().zip(1_u32..) {
            let about = format!("step {number} of {of} before the start");
            let progress = format!("{about}: {}", step.command.join(" "));
            self.tell(launch.incarnation, RuntimeEvent::Preparing { progress }).await;
            let failed = |how: String| {
                let reason = format!("{about} (`{}`) {how}; see its output in the logs", step.command[0]);
                Failure { reason, retry: true }
            };
            match self.run_step(launch, step, number, runtime).await {
                Ok(StepEnd::Ended(outcome)) if outcome.succeeded() => {}
                Ok(StepEnd::Ended(outcome)) if outcome.lease => return Ok(Prepared::LeaseOver),
                Ok(StepEnd::Ended(outcome)) => return Err(failed(outcome.to_string())),
                Ok(StepEnd::TooLong) => {
                    return Err(failed(format!("was stopped after its timeout of {}", Span(step.timeout))));
                }
                Ok(StepEnd::Cancelled) => return Ok(Prepared::Cancelled),
                Ok(StepEnd::LeaseOver) => return Ok(Prepared::LeaseOver),
                Err(error) => {
                    return Err(Failure { reason: format!("{about}: {error}"), retry: error.retry() });
                }
            }
        }
        launch.after_steps = of > 0;
        Ok(Prepared::Done)
    }

    async fn run_step(
        &mut self,
        launch: &mut Launch,
        step: &Step,
        number: u32,
        runtime: &dyn Runtime,
    ) -> Result<StepEnd, RunError> {
        let mut run = launch.clone();
        run.spec.command.clone_from(&step.command);
        run.step = Some(number);
        // They are the program's: nobody is sent to a step.
        run.ports.clear();
        match runtime.start(&run).await {
            Err(RunError::LeaseOver { .. }) => return Ok(StepEnd::LeaseOver),
            started => started?,
        }
        let deadline = Instant::now() + step.timeout;
        loop {
            match timeout_at(deadline, self.orders.recv()).await {
                Ok(Some(Order::Happened { incarnation, kind: EventKind::Exited(outcome) }))
                    if incarnation == run.incarnation =>
                {
                    return Ok(StepEnd::Ended(outcome));
                }
                Ok(Some(Order::Lease { until })) => {
                    launch.lease = Some(until);
                    // One that has just ended needs none; the next gets this one.
                    let _ = runtime.lease(self.id, until).await;
                }
                Ok(Some(order)) => {
                    let ends = order.ends_launch();
                    self.pending.push_back(order);
                    if ends {
                        return self.end_step(&run, runtime).await.map(|()| StepEnd::Cancelled);
                    }
                }
                Ok(None) => return self.end_step(&run, runtime).await.map(|()| StepEnd::Cancelled),
                Err(_) => return self.end_step(&run, runtime).await.map(|()| StepEnd::TooLong),
            }
        }
    }

    /// Ends the step, and takes the runtime's word about it from the queue: it is not about the program.
    async fn end_step(&mut self, run: &Launch, runtime: &dyn Runtime) -> Result<(), RunError> {
        let grace: Duration = run.spec.grace;
        match runtime.halt(self.id, grace).await {
            Ok(()) | Err(RunError::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        let deadline = Instant::now() + WORD_TIME;
        while let Ok(Some(order)) = timeout_at(deadline, self.orders.recv()).await {
            match order {
                Order::Happened { incarnation, kind: EventKind::Exited(_) }
                    if incarnation == run.incarnation =>
                {
                    break;
                }
                order => self.pending.push_back(order),
            }
        }
        Ok(())
    }
}
