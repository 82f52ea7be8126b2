//! What a look at an application tells whoever waits for it. Pure.

use super::generation::GenerationOutcome;
use super::{ApplicationView, ServiceView};
use crate::state::{RunState, ServiceState};

/// What a look at an application tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it was wished.
    Reached,
    /// Its canary is, and waits for a person.
    Canary,
    /// It is on its way.
    Wait,
    /// It does not run, and nobody takes it back; it may be tried elsewhere.
    Failed,
    /// Its rollout has failed and goes no further: why.
    Halted(String),
    /// People told it to rest: nothing of it runs.
    Rests,
    /// It has failed, and something older took its place: what, and why.
    TakenBack(String),
}

// === impl Verdict ===

impl Verdict {
    /// Of an application that is to be as this generation of it says.
    #[must_use]
    pub fn of(application: &ApplicationView, generation: u64) -> Self {
        use ServiceState as S;
        if application.generation < generation {
            return Self::Wait;
        }
        if let Some(rollout) = &application.rollout {
            if rollout.took_back.is_some_and(|failed| failed >= generation) {
                return Self::TakenBack(rollout.reason.clone());
            }
            if !rollout.canaries.is_empty() {
                return Self::Canary;
            }
        }
        match application.state {
            S::Paused | S::Stopped
                if application.services.iter().any(|service| service.run != RunState::Run) =>
            {
                Self::Rests
            }
            S::Running | S::Completed | S::Paused | S::Stopped => Self::Reached,
            // A run before this generation failed: the next one is another matter.
            S::Error if only_runs_failed(application) => {
                why_halted(application).map_or(Self::Reached, Self::Halted)
            }
            // Who goes back by itself is waited for: what becomes of it says more.
            S::Error if !goes_back(application) => Self::Failed,
            _ => why_halted(application).map_or(Self::Wait, Self::Halted),
        }
    }
}

/// All is as it was wished, but for crons whose last run has failed, and their runs.
fn only_runs_failed(application: &ApplicationView) -> bool {
    use ServiceState as S;
    let is_cron = |service: &ServiceView| service.next.is_some() || !service.spec["kind"]["cron"].is_null();
    let (crons, rest): (Vec<_>, Vec<_>) =
        application.services.iter().partition(|service| is_cron(service) || service.run_of.is_some());
    let fine =
        |service: &&ServiceView| matches!(service.state, S::Running | S::Completed | S::Paused | S::Stopped);
    !crons.is_empty() && rest.iter().all(fine)
}

/// Why the newest generation goes no further, if it has failed and nothing takes its place.
fn why_halted(application: &ApplicationView) -> Option<String> {
    let rollout = application.rollout.as_ref()?;
    let failed = rollout.outcome == GenerationOutcome::Failed && !rollout.rolls_back;
    failed.then(|| rollout.reason.clone())
}

/// If it fails, its owner goes back to what ran before.
#[must_use]
pub fn goes_back(application: &ApplicationView) -> bool {
    application.rollout.as_ref().is_some_and(|rollout| rollout.rolls_back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::view::generation::RolloutView;

    fn application(state: ServiceState, generation: u64) -> ApplicationView {
        ApplicationView {
            id: "1-aa-1".to_owned(),
            project: "default".to_owned(),
            name: "shop".to_owned(),
            state,
            generation,
            unconfirmed: false,
            created: Time(0),
            changed: Time(0),
            rollout: None,
            services: Vec::new(),
        }
    }

    #[test]
    fn an_older_generation_that_runs_is_not_what_was_wished() {
        assert_eq!(Verdict::of(&application(ServiceState::Running, 1), 2), Verdict::Wait);
        assert_eq!(Verdict::of(&application(ServiceState::Running, 2), 2), Verdict::Reached);
        assert_eq!(Verdict::of(&application(ServiceState::Updating, 2), 2), Verdict::Wait);
        assert_eq!(Verdict::of(&application(ServiceState::Error, 2), 2), Verdict::Failed);
    }

    #[test]
    fn a_rollout_that_halted_has_failed_though_the_rest_runs() {
        let mut application = application(ServiceState::Updating, 2);
        let rollout = |outcome| RolloutView {
            generation: 2,
            outcome,
            reason: "web/0: exit code 3".to_owned(),
            took_back: None,
            canaries: Vec::new(),
            rolls_back: false,
        };
        application.rollout = Some(rollout(GenerationOutcome::Underway));
        assert_eq!(Verdict::of(&application, 2), Verdict::Wait);
        application.rollout = Some(rollout(GenerationOutcome::Failed));
        assert_eq!(Verdict::of(&application, 2), Verdict::Halted("web/0: exit code 3".to_owned()));
        assert_eq!(Verdict::of(&application, 3), Verdict::Wait, "the next is not there yet");
    }

    #[test]
    fn what_rests_as_people_wish_does_not_run() {
        for (state, run, expected) in [
            (ServiceState::Stopped, RunState::Stop, Verdict::Rests),
            (ServiceState::Paused, RunState::Pause, Verdict::Rests),
            (ServiceState::Stopping, RunState::Stop, Verdict::Wait),
            // A part rests, and the rest runs; or there are no replicas.
            (ServiceState::Running, RunState::Stop, Verdict::Reached),
            (ServiceState::Stopped, RunState::Run, Verdict::Reached),
            (ServiceState::Completed, RunState::Run, Verdict::Reached),
        ] {
            let service = serde_json::json!({
                "name": "web", "state": state, "runtime": "process", "replicas": "1", "running": 0, "slots": 1,
                "run": run, "generation": 1, "spec": {},
            });
            let mut application = application(state, 1);
            application.services = vec![serde_json::from_value(service).unwrap()];
            assert_eq!(Verdict::of(&application, 1), expected, "{state} {run:?}");
        }
    }

    #[test]
    fn a_cron_whose_last_run_failed_holds_up_no_change() {
        let service = |name: &str, state, extra: serde_json::Value| {
            let mut view = serde_json::json!({
                "name": name, "state": state, "runtime": "process", "replicas": "1", "running": 0, "slots": 1,
                "run": RunState::Run, "generation": 2, "spec": {},
            });
            view.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(view).unwrap()
        };
        let mut application = application(ServiceState::Error, 2);
        let cron =
            || service("report", ServiceState::Error, serde_json::json!({"next": "2027-01-01T03:00:00Z"}));
        let run = || service("report-7", ServiceState::Error, serde_json::json!({"run_of": "report"}));
        let web = |state| service("web", state, serde_json::json!({}));
        application.services = vec![cron(), run(), web(ServiceState::Running)];
        assert_eq!(Verdict::of(&application, 2), Verdict::Reached);
        application.services = vec![cron()];
        assert_eq!(Verdict::of(&application, 2), Verdict::Reached);
        application.services = vec![cron(), run(), web(ServiceState::Error)];
        assert_eq!(Verdict::of(&application, 2), Verdict::Failed);
        application.services = vec![web(ServiceState::Error)];
        assert_eq!(Verdict::of(&application, 2), Verdict::Failed);
    }

    #[test]
    fn what_was_taken_back_has_failed_though_something_runs() {
        let mut application = application(ServiceState::Running, 3);
        application.rollout = Some(RolloutView {
            generation: 3,
            outcome: GenerationOutcome::Underway,
            reason: "web/0: exit code 1".to_owned(),
            took_back: Some(2),
            canaries: Vec::new(),
            rolls_back: false,
        });
        assert_eq!(Verdict::of(&application, 2), Verdict::TakenBack("web/0: exit code 1".to_owned()));
        assert_eq!(Verdict::of(&application, 3), Verdict::Reached);
    }
}
