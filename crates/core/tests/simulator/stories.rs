//! Examples to read: calm worlds, one thing happens, and this is what follows.

mod changing;
mod forgetting;
mod joining;
mod losing;
mod owners;
mod placing;
mod refusing;
mod removing;
mod reunion;
