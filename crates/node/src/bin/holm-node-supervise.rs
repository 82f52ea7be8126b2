//! The supervisor of native programs alone, for this crate's tests: `holm` hides it behind a subcommand.

fn main() {
    holm_runtime::process::supervise::main(std::env::args_os().skip(1))
}
