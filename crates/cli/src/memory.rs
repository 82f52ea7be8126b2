//! Keeping freed memory at hand while it is used again and again, and giving back what is not.
//!
//! Bytes that are passed on lie in buffers that live for microseconds. The allocator gives the top of its heap back to
//! the kernel whenever 128 KiB of it are free: then each buffer comes in fresh pages, which was a third of the time of
//! a tunnel.
//!
//! Most of what an idle daemon holds is its own program: the kernel maps it in pieces of 64 KiB wherever it was
//! touched, and unmaps nothing before memory runs short. Reading the command line, opening the store and joining
//! touch much that is not touched again. What is unmapped here stays in the page cache until somebody else needs the
//! room, so that coming back to it costs a minor fault. What is left is small where the program is laid out for it:
//! see `xtask/src/dist/order.rs`.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

#[cfg(target_env = "gnu")]
use nix::libc;

/// When the start is over.
const FIRST: Duration = Duration::from_secs(10);
/// How long what was used for something rare stays.
const AGAIN: Duration = Duration::from_secs(600);

/// Free bytes at the top of a heap that are kept, until the next [`give_back`] in a daemon.
const KEPT: i32 = 8 << 20;
/// What is larger than this is mapped by itself, and so given back at once.
const LARGE: i32 = 4 << 20;

/// Called once, before there are threads.
pub(crate) fn keep_freed() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, KEPT), (libc::M_MMAP_THRESHOLD, LARGE)] {
        #[expect(unsafe_code, reason = "there is no safe word for it")]
        // SAFETY: sets two numbers of the allocator, which it checks; nothing is lost by a refusal.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives back, now and then, what has not been used since; for as long as the daemon runs.
pub(crate) fn keep_small() {
    tokio::spawn(async {
        tokio::time::sleep(FIRST).await;
        loop {
            give_back();
            tokio::time::sleep(AGAIN).await;
        }
    });
}

/// Nothing but room is lost by a failure.
fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "there is no safe word for it")]
        // SAFETY: the allocator locks what it looks at; only free memory goes.
        let _ = unsafe { libc::malloc_trim(0) };
    }
    let program = std::env::current_exe().ok();
    let Some(program) = program.as_deref().and_then(Path::to_str) else { return };
    if let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") {
        unchanged(&smaps, program).into_iter().for_each(unmap);
    }
}

/// The mappings of the program in `smaps` (see proc(5)) that come back from its file as they are: nobody can write to
/// them, and no page of them was ever changed, as those that hold relocated addresses were.
fn unchanged(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Anonymous:") => {
                found.extend(candidate.take().filter(|_| words.next() == Some("0")));
            }
            Some(range) if !range.ends_with(':') => {
                candidate = read_only(range, words).filter(|_| line.ends_with(&format!(" {program}")));
            }
            _ => {}
        }
    }
    found
}

/// `55d0…-55d1… r-xp 00001000 08:01 4711 /usr/bin/holm`
fn read_only<'a>(range: &str, mut words: impl Iterator<Item = &'a str>) -> Option<Range<usize>> {
    let permissions = words.next()?;
    let (start, end) = range.split_once('-')?;
    let address = |hexadecimal| usize::from_str_radix(hexadecimal, 16).ok();
    let range = address(start)?..address(end)?;
    matches!(permissions, "r--p" | "r-xp").then_some(range)
}

#[expect(unsafe_code, reason = "there is no safe word for it")]
fn unmap(range: Range<usize>) {
    let Some(start) = std::ptr::NonNull::new(range.start as *mut std::ffi::c_void) else { return };
    // SAFETY: the range is a part of this program, which stays where it is for as long as it runs, is read-only, and
    // has no changed page: each page is read from the file again when it is next touched, and holds what it held.
    let _ = unsafe { nix::sys::mman::madvise(start, range.len(), nix::sys::mman::MmapAdvise::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
5000-9000 r--p 00000000 08:01 4711 /usr/bin/holm
Size:                 16 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
9000-f000 r-xp 00004000 08:01 4711 /usr/bin/holm
Anonymous:             0 kB
f000-10000 r--p 0000a000 08:01 4711 /usr/bin/holm
Anonymous:             4 kB
10000-11000 rw-p 0000b000 08:01 4711 /usr/bin/holm
Anonymous:             0 kB
11000-12000 rw-p 00000000 00:00 0 [heap]
Anonymous:             0 kB
12000-13000 r--p 00000000 00:00 0 
Anonymous:             0 kB
12800-13000 r--p 00000000 08:01 4712 /usr/lib/libc.so.6
Anonymous:             0 kB
13000-14000 r--s 00000000 08:01 12 /var/lib/holm/holm.db-shm
Anonymous:             0 kB
14000-15000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_what_comes_back_from_its_file_is_given_back() {
        assert!(unchanged(SMAPS, "/usr/bin/holm") == [0x5000..0x9000, 0x9000..0xf000]);
        assert!(unchanged(SMAPS, "/usr/bin/ho").is_empty());
        assert!(unchanged("nonsense", "/usr/bin/holm").is_empty());
    }

    /// Each test has a process of its own, and a heap.
    #[test]
    fn freed_memory_is_given_back() {
        let resident = || {
            let all = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
            let rss = all.lines().find(|line| line.starts_with("Rss:")).unwrap();
            rss.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        keep_freed();
        give_back();
        let before = resident();
        drop((0..64).map(|byte| vec![byte; 64 * 1024]).collect::<Vec<_>>());
        assert!(resident() >= before + 1024, "it is kept");
        give_back();
        assert!(resident() < before + 512, "it is given back");
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let resident = || {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let program = std::env::current_exe().unwrap();
            let here = unchanged as *const () as usize;
            assert!(unchanged(&maps, program.to_str().unwrap()).iter().any(|range| range.contains(&here)));
            let mut ours = maps.lines().skip_while(|line| !line.contains("r-xp"));
            let rss = ours.find(|line| line.starts_with("Rss:")).unwrap().to_owned();
            rss.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        // All that is used below is mapped; and then what a start needs.
        resident();
        give_back();
        let help = <crate::args::Cli as clap::CommandFactory>::command().render_long_help();
        assert!(!help.to_string().is_empty());
        let before = resident();
        give_back();
        let after = resident();
        assert!(after < before, "{before} KiB of our code were in memory, then {after}");
    }
}
