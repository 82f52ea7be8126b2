//! The words of Holm: what people write, what orchestrators wish, what nodes observe, and the
//! messages that carry both. Data and rules about data only: no I/O, no clock, no randomness.
//!
//! | module | noun |
//! | --- | --- |
//! | [`id`] | epochs, ids made from (reign, counter) |
//! | [`name`] | names of people's things |
//! | [`time`] | wall and boot time as the machines see them |
//! | [`resources`] | CPU and memory, as quantities |
//! | [`access`] | who may do what, and where |
//! | [`amendment`] | what an operator says about a node, over what it finds |
//! | [`capability`] | what a member can do that is not a quantity |
//! | [`units`] | capabilities that can be counted |
//! | [`taint`] | what keeps new work away from a node |
//! | [`condition`] | `where:` of a manifest: a condition on nodes |
//! | [`cron`] | when something is due, in a time zone |
//! | [`geo`] | places on earth, and how far apart they are |
//! | [`coordinate`] | where something is in the network |
//! | [`duration`] | spans of time as people write them |
//! | [`template`] | `{{…}}` in commands and environment values |
//! | [`manifest`] | the YAML a person writes, with errors that name the place |
//! | [`service`] | the checked specification of one service |
//! | [`job`] | work that ends |
//! | [`healing`] | what becomes of it when a node is lost, and when it returns |
//! | [`placement`] | where a service may run, and where it would rather |
//! | [`update`] | how a service goes from one specification to the next |
//! | [`wish`] | what somebody wants to run, versioned |
//! | [`health`], [`expose`] | how its instances are asked whether they work; how they are reached from outside |
//! | [`slot`] | one place of a service that wants to be filled |
//! | [`state`] | states and the table of legal changes |
//! | [`content`] | secrets and plain files of a project |
//! | [`build`] | building an image on a node |
//! | [`identity`] | with what an instance proves who it is |
//! | [`item`] | what an orchestrator's list for a member is made of |
//! | [`member`] | what a node or a cluster says about itself |
//! | [`fact`] | what somebody observed |
//! | [`message`] | the messages of a link, one enum per direction |
//! | [`pace`] | how often something may be asked |
//! | [`newer`] | what a newer version sends and this one cannot read |
//! | [`tunnel`] | the first frame of a tunnel: what the stream is for |
//! | [`project`] | what orchestrators tell each other of projects |
//! | [`record`] | what must survive: rows, audit records, changes |
//! | [`usage`] | what a machine or an instance used lately |
//! | [`view`] | what the API shows |

pub mod access;
pub mod amendment;
pub mod before;
pub mod build;
pub mod capability;
pub mod condition;
pub mod content;
pub mod coordinate;
pub mod cron;
pub mod duration;
pub mod expose;
pub mod fact;
pub mod geo;
pub mod healing;
pub mod health;
pub mod id;
pub mod identity;
pub mod image;
pub mod item;
pub mod job;
pub mod manifest;
pub mod member;
pub mod message;
pub mod name;
pub mod newer;
pub mod pace;
pub mod placement;
pub mod priority;
pub mod project;
pub mod record;
pub mod resources;
pub mod scale;
pub mod service;
pub mod slot;
pub mod state;
pub mod taint;
pub mod template;
pub mod time;
pub mod transfer;
pub mod tunnel;
pub mod units;
pub mod update;
pub mod usage;
pub mod view;
pub mod wipe;
pub mod wish;
