//! Placements, refusals, what waits, updates.

use holm_core::orchestrator::Figures;
use holm_metrics::Family;

use super::by_word;

pub(super) fn families(figures: &Figures) -> Vec<Family> {
    let tally = &figures.tally;
    let mut waiting =
        Family::gauge("holm_slots_waiting", "Wanted slots that nothing fills, by the kind of the reason.");
    by_word(&mut waiting, "reason", &figures.waiting);
    let mut placements =
        Family::counter("holm_placements_total", "Slots that got a member, by the strategy that chose it.");
    by_word(&mut placements, "strategy", &tally.placements);
    let mut refusals = Family::counter(
        "holm_placement_refusals_total",
        "Members that could not take a slot for which nobody was found, by the kind of the reason.",
    );
    by_word(&mut refusals, "reason", &tally.refusals);
    let mut answers =
        Family::counter("holm_scheduler_answers_total", "Questions to own schedulers, by what came of them.");
    by_word(&mut answers, "outcome", &tally.consultations);
    let mut up =
        Family::gauge("holm_scheduler_up", "Whether the scheduler answered last, or was never asked.");
    for (scheduler, answers) in &figures.schedulers {
        up.add(&[("scheduler", scheduler)], *answers);
    }
    let replacements =
        Family::counter("holm_replacements_total", "Slots filled elsewhere since their member was silent.");
    let updates = Family::gauge("holm_updates_running", "Services whose update is under way.");
    let halted = Family::gauge(
        "holm_updates_halted",
        "Slots that keep what they have since the new specification failed or has no place.",
    );
    vec![
        waiting,
        placements,
        refusals,
        answers,
        up,
        replacements.with(&[], tally.replacements),
        updates.with(&[], figures.updates),
        halted.with(&[], figures.halted),
    ]
}
