//! Reading an instance's log while its supervisor writes it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use futures::stream;
use holm_model::tunnel::LogLine;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use super::record;
use super::segments;
use super::start;
use super::sys;
use crate::stream::{LogLines, LogOptions};

/// A place in the log.
#[derive(Debug)]
struct Reader {
    dir: PathBuf,
    segment: Option<(u64, File)>,
    /// A record whose end was not there yet.
    begun: Vec<u8>,
}

#[derive(Debug)]
struct Tail {
    reader: Reader,
    ready: VecDeque<LogLine>,
    /// Wakes when the directory changes; `None` when the end of the file is the end.
    changes: Option<AsyncFd<OwnedFd>>,
    options: LogOptions,
    lives: Lives,
}

/// Which incarnations' lines are wanted. Each begins with a note of its number.
#[derive(Debug)]
enum Lives {
    All,
    Only {
        incarnation: u32,
        /// Whether the line before was one of it.
        within: bool,
    },
}

/// Read and handed on at once.
const CHUNK: u64 = 64 * 1024;

/// The lines in the directory `dir`, and those that come.
///
/// # Errors
/// When the directory cannot be watched.
pub(crate) fn read(dir: &Path, options: LogOptions) -> io::Result<LogLines> {
    let changes = options.follow.then(|| watch(dir)).transpose()?;
    let reader = Reader { dir: dir.to_owned(), segment: None, begun: Vec::new() };
    let lives = Lives::All;
    let tail = Tail { reader, ready: VecDeque::new(), changes, options, lives };
    let lines = stream::once(tail.start()).map(|started| match started {
        Ok(tail) => stream::try_unfold(tail, Tail::next).boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    });
    Ok(lines.flatten().boxed())
}

fn watch(dir: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    use inotify::{CreateFlags, WatchFlags};
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let wanted = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR;
    inotify::add_watch(&inotify, dir, wanted)?;
    sys::readable(inotify)
}

// === impl Tail ===

impl Tail {
    /// Goes to the wanted place.
    async fn start(mut self) -> io::Result<Self> {
        if self.options.previous {
            self.lives = Lives::before_the_last(&self.reader.dir).await?;
        }
        let Some(tail) = self.options.tail else { return Ok(self) };
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        loop {
            let lines = self.batch().await?;
            if lines.is_empty() {
                return Ok(self);
            }
            self.ready.extend(lines);
            let surplus = self.ready.len().saturating_sub(tail);
            self.ready.drain(..surplus);
        }
    }

    async fn next(mut self) -> io::Result<Option<(LogLine, Self)>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some((line, self)));
            }
            self.ready = self.batch().await?.into();
            if self.ready.is_empty() && !self.changed().await? {
                return Ok(None);
            }
        }
    }

    /// The next wanted lines; none at the end.
    async fn batch(&mut self) -> io::Result<Vec<LogLine>> {
        loop {
            let dir = self.reader.dir.clone();
            let mut reader =
                std::mem::replace(&mut self.reader, Reader { dir, segment: None, begun: Vec::new() });
            let (reader, read) = tokio::task::spawn_blocking(move || {
                let read = reader.chunk();
                (reader, read)
            })
            .await
            .map_err(io::Error::other)?;
            self.reader = reader;
            let Some(mut lines) = read? else { return Ok(Vec::new()) };
            lines.retain(|line| self.lives.takes(line) && self.options.takes(line));
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// Waits for a change of the directory; false when nothing will come.
    async fn changed(&self) -> io::Result<bool> {
        let Some(changes) = &self.changes else { return Ok(false) };
        if !self.reader.dir.exists() {
            return Ok(false);
        }
        let mut guard = changes.readable().await?;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(changes.get_ref(), &mut buffer);
        while events.next().is_ok() {}
        guard.clear_ready();
        Ok(true)
    }
}

// === impl Lives ===

impl Lives {
    /// Reads the log once to find the last incarnation; the one before may end without a note.
    async fn before_the_last(dir: &Path) -> io::Result<Self> {
        let mut reader = Reader { dir: dir.to_owned(), segment: None, begun: Vec::new() };
        let read = move || {
            let mut last = 0;
            while let Some(lines) = reader.chunk()? {
                last = lines.iter().filter_map(start::incarnation).next_back().unwrap_or(last);
            }
            Ok(Self::Only { incarnation: u32::saturating_sub(last, 1), within: false })
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    fn takes(&mut self, line: &LogLine) -> bool {
        match self {
            Self::All => true,
            Self::Only { incarnation, within } => {
                if let Some(begins) = start::incarnation(line) {
                    *within = begins == *incarnation;
                }
                *within
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Lines (perhaps none, of a torn record); `None` at the end of the newest segment.
    fn chunk(&mut self) -> io::Result<Option<Vec<LogLine>>> {
        loop {
            if let Some((_, file)) = &mut self.segment {
                let had = self.begun.len();
                file.take(CHUNK).read_to_end(&mut self.begun)?;
                if self.begun.len() > had {
                    return Ok(Some(self.cut()));
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Opens the next segment, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        let numbers = match segments::list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            numbers => numbers?,
        };
        let after = self.segment.as_ref().map(|(number, _)| *number);
        for number in numbers.into_iter().filter(|number| after.is_none_or(|after| *number > after)) {
            match File::open(segments::path(&self.dir, number)) {
                // Forgotten meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => {
                    self.segment = Some((number, file?));
                    self.begun.clear();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn cut(&mut self) -> Vec<LogLine> {
        let Some(end) = self.begun.iter().rposition(|b| *b == b'\n') else { return Vec::new() };
        let lines = self.begun[..end].split(|b| *b == b'\n').filter_map(record::decode).collect();
        self.begun.drain(..=end);
        lines
    }
}
