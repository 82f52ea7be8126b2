//! Examples to read: calm worlds, one thing happens, and this is what follows.

mod changing;
mod forgetting;
mod joining;
mod losing;
mod placing;
