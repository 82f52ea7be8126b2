//! Examples to read: calm worlds, one thing happens, and this is what follows.

mod changing;
mod choosing;
mod consulting;
mod contents;
mod distrusting;
mod ending;
mod exposing;
mod forgetting;
mod frozen_below;
mod going_back;
mod joining;
mod losing;
mod owners;
mod placing;
mod projects;
mod refusing;
mod removing;
mod reunion;
mod roles;
mod running;
mod taking_back;
mod telling;
mod updating;
mod voiding;
mod watching;
