//! `holm backup` and `holm restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt as _;
use holm_model::view::people::{BackupRequest, Password};
use holm_orchestrator::backup::{self, Lock};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::connect::At;
use crate::failure::Failure;
use crate::output::Output;
use crate::roles::directory;
use crate::{prompt, secret};

/// How a backup is locked. Without any of these, a passphrase is asked for.
#[derive(Args, Debug)]
struct LockArgs {
    /// A file whose first line is the passphrase
    #[arg(long, env = "HOLM_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file with a key: 32 random bytes as 64 hexadecimal digits, for backups that nobody watches
    #[arg(long, env = "HOLM_BACKUP_KEY_FILE", value_name = "FILE", conflicts_with = "passphrase_file")]
    key_file: Option<PathBuf>,
}

/// Back the orchestrator up: its store, its CA key and its certificates, encrypted.
///
/// It goes on running meanwhile. Keep the file and what opens it at different places.
#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// Where to; it must not exist
    file: PathBuf,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    output: Output,
}

/// Make an orchestrator's data directory of a backup.
///
/// Started on it, the orchestrator is behind its members: they go on with what they hold, stop nothing and are told
/// nothing, until you say `holm adopt` or `holm discard`. All tokens are void; nobody logs in before you have said `holm
/// person password NAME` on the orchestrator's machine.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    file: PathBuf,
    /// Where to; it must be empty, or not there [default: that of `holm root`]
    #[arg(long, env = "HOLM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    output: Output,
}

/// A file that is removed unless it becomes whole.
struct Unfinished<'a> {
    path: PathBuf,
    target: &'a Path,
}

pub(crate) async fn back_up(At { args, connect }: At<Backup>) -> Result<(), Failure> {
    let file = &args.file;
    if file.exists() {
        return Err(Failure::wrong_use(format!("{} is there already", file.display()))
            .hint("choose another name, or move it away"));
    }
    let request = args.lock.request()?;
    let client = connect.client()?;
    let unfinished = Unfinished::new(file);
    let failed = |e| Failure::from_error(format!("cannot write {}", file.display()), &e);
    let mut out = unfinished.create().map_err(failed)?;
    let mut bytes = 0;
    let mut stream = std::pin::pin!(client.backup(&request).await?);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        out.write_all(&chunk).await.map_err(failed)?;
        bytes += chunk.len();
    }
    out.sync_all().await.map_err(failed)?;
    unfinished.finish().map_err(failed)?;
    let done = json!({ "file": file, "bytes": bytes });
    args.output.print(&done, || {
        format!(
            "backed up {} to {} ({})",
            client.server(),
            file.display(),
            holm_model::resources::Memory(bytes as u64)
        )
    })
}

pub(crate) async fn restore(args: Restore) -> Result<(), Failure> {
    let dir = args.data_dir.unwrap_or_else(|| directory("root"));
    let lock = args.lock.lock()?;
    let what = format!("{} cannot be restored", args.file.display());
    let restored =
        backup::restore(&args.file, &dir, &lock).await.map_err(|e| Failure::from_error(&what, &e))?;
    let value = json!({
        "data_dir": dir, "role": restored.role, "name": restored.name, "sea": restored.sea,
        "fingerprint": restored.fingerprint, "taken": restored.taken, "void_tokens": restored.distrusted.tokens, "members": restored.distrusted.members,
        "held_people": restored.distrusted.people,
    });
    args.output.print(&value, || {
        format!(
            "restored {role} {name} of the sea {sea}, as it was at {taken}, to {dir}\n\
             Who was revoked, deleted or given fewer rights since is not known here:\n\
             - tokens that are void now: {tokens}\n\
             - members that are told nothing until you say `holm adopt` or `holm discard`: {members}; they go on with \
             what they hold. Take away those you do not trust any more (`holm node remove`)\n\
             - people that cannot log in until you set a new password: {people}; on this machine, `holm person ls` shows \
             them, with their roles of then, `holm person password NAME` lets one in, `holm person delete NAME` takes \
             one away\n\
             Start it with `holm {role} --data-dir {dir}`",
            role = restored.role,
            name = restored.name,
            sea = restored.sea,
            taken = restored.taken,
            dir = dir.display(),
            tokens = restored.distrusted.tokens,
            members = restored.distrusted.members,
            people = restored.distrusted.people,
        )
    })
}

// === impl LockArgs ===

impl LockArgs {
    fn lock(&self) -> Result<Lock, Failure> {
        if let Some(file) = &self.key_file {
            return key(&secret::line(file)?).map(Lock::Key).ok_or_else(|| {
                Failure::wrong_use(format!("{}: a key is 64 hexadecimal digits", file.display()))
            });
        }
        match &self.passphrase_file {
            Some(file) => secret::line(file).map(Lock::Passphrase),
            None => prompt::hidden("Passphrase of the backup: ").map(Lock::Passphrase),
        }
    }

    /// A new passphrase is asked for twice.
    fn request(&self) -> Result<BackupRequest, Failure> {
        if self.key_file.is_none() && self.passphrase_file.is_none() {
            let phrase = prompt::hidden_twice("Passphrase for the backup: ")?;
            return Ok(BackupRequest { passphrase: Some(Password(phrase)), key: None });
        }
        Ok(match self.lock()? {
            Lock::Passphrase(phrase) => BackupRequest { passphrase: Some(Password(phrase)), key: None },
            Lock::Key(key) => {
                let hex = key.iter().map(|byte| format!("{byte:02x}")).collect();
                BackupRequest { passphrase: None, key: Some(Password(hex)) }
            }
        })
    }
}

fn key(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

// === impl Unfinished ===

impl<'a> Unfinished<'a> {
    fn new(target: &'a Path) -> Self {
        let mut name = target.as_os_str().to_owned();
        name.push(".unfinished");
        Self { path: name.into(), target }
    }

    fn create(&self) -> std::io::Result<tokio::fs::File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)?;
        Ok(tokio::fs::File::from_std(file))
    }

    fn finish(&self) -> std::io::Result<()> {
        std::fs::rename(&self.path, self.target)
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // After `finish` it is not there.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hexadecimal() {
        assert_eq!(key(&"0a".repeat(32)), Some([10; 32]));
        for bad in ["", "0a", &"0g".repeat(32), &"0a".repeat(33), &"ä".repeat(32)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
