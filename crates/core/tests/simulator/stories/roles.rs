//! What is taken from people, and what of their tokens ends by it.

use holm_core::orchestrator::command::{Command, PeopleCommand, ProjectCommand};
use holm_model::access::{Grants, Role};
use holm_model::record::Table;
use holm_model::time::Time;

use crate::fleet::{fleet, name, nodes};
use crate::world::{Orch, World};

fn people(fleet: &mut World, command: PeopleCommand) {
    fleet.command(0, Command::People(command)).unwrap();
    fleet.run_secs(1);
}

fn give(fleet: &mut World, role: Option<Role>) {
    people(fleet, PeopleCommand::SetProjectRole { name: name("ada"), project: name("blue"), role });
}

fn world() -> World {
    let mut fleet = fleet().cluster("vienna", nodes(1));
    let (project, quota) = (name("blue"), Default::default());
    fleet.command(0, Command::Project(ProjectCommand::Create { name: project, quota })).unwrap();
    let (password, roles) = ("x".to_owned(), Default::default());
    people(&mut fleet, PeopleCommand::Create { name: name("ada"), password, roles });
    fleet
}

fn is_void(fleet: &World, orch: Orch, who: &str, project: &str, made: Time) -> bool {
    let grants = Grants::projects(Role::Viewer, [name(project)]);
    fleet.orchestrators[orch].up().is_token_void("t", who, &grants, made)
}

#[test]
fn a_role_that_is_taken_ends_what_allowed_something_in_that_project_and_nothing_else() {
    let mut fleet = world();
    let vienna = fleet.orch("vienna");
    give(&mut fleet, Some(Role::Operator));
    let made = fleet.orchestrators[0].clock.at(fleet.now).wall;
    fleet.run_secs(1);
    give(&mut fleet, Some(Role::Viewer));
    fleet.run_secs(2);
    let later = fleet.orchestrators[0].clock.at(fleet.now).wall;
    for orch in [0, vienna] {
        assert!(is_void(&fleet, orch, "ada", "blue", made));
        assert!(!is_void(&fleet, orch, "ada", "red", made), "of another project");
        assert!(!is_void(&fleet, orch, "bea", "blue", made), "another's");
        assert!(!is_void(&fleet, orch, "ada", "blue", later), "made since");
    }
    // Taken altogether, what was made meanwhile is void, too.
    fleet.run_secs(1);
    give(&mut fleet, None);
    fleet.run_secs(2);
    for orch in [0, vienna] {
        assert!(is_void(&fleet, orch, "ada", "blue", later) && !is_void(&fleet, orch, "ada", "red", later));
    }
}

#[test]
fn however_often_somebody_loses_something_one_entry_says_so() {
    let mut fleet = world();
    let vienna = fleet.orch("vienna");
    for _ in 0..9 {
        give(&mut fleet, Some(Role::Viewer));
        give(&mut fleet, None);
        people(&mut fleet, PeopleCommand::LogOut { name: name("ada") });
    }
    fleet.run_secs(2);
    let known = |orch: Orch, table: Table| {
        let mut rows = fleet.orchestrators[orch].disk.texts(table);
        rows.retain(|row| row.contains(":ada:"));
        rows.len()
    };
    assert_eq!((known(0, Table::Revocation), known(vienna, Table::Item)), (2, 2));
}

#[test]
fn a_project_of_the_same_name_is_no_heir_of_one_that_is_gone() {
    let mut fleet = world();
    let vienna = fleet.orch("vienna");
    give(&mut fleet, Some(Role::Operator));
    let made = fleet.orchestrators[0].clock.at(fleet.now).wall;
    fleet.run_secs(1);
    let project = |command| Command::Project(command);
    fleet.command(0, project(ProjectCommand::Delete { name: name("blue") })).unwrap();
    fleet.run_secs(1);
    let again = ProjectCommand::Create { name: name("blue"), quota: Default::default() };
    fleet.command(0, project(again)).unwrap();
    fleet.run_secs(2);
    let later = fleet.orchestrators[0].clock.at(fleet.now).wall;
    for orch in [0, vienna] {
        // Of those without a role there, too, as an administrator's that was made for it.
        for who in ["ada", "admin"] {
            assert!(is_void(&fleet, orch, who, "blue", made), "{who} at {orch}");
            assert!(!is_void(&fleet, orch, who, "blue", later), "{who} at {orch}");
            assert!(!is_void(&fleet, orch, who, "red", made), "{who} at {orch}");
        }
    }
}
