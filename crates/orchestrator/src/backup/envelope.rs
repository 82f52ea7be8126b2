//! The encryption of a backup: XChaCha20-Poly1305 in the STREAM construction (Hoang, Reyhanitabar, Rogaway,
//! Vizár 2015), so that chunks cannot be changed, left out, doubled or cut off unseen. The key comes from a
//! passphrase by Argon2id, or is given.

use std::io::{self, Read, Write};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::aead::{KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// What opens a backup.
pub enum Lock {
    Passphrase(String),
    /// 32 random bytes.
    Key([u8; 32]),
}

/// A backup cannot be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("this is no backup of Holm")]
    Foreign,
    #[error("the backup's header is damaged")]
    Header,
    #[error("the backup is opened by a {0}")]
    OtherLock(&'static str),
    #[error("the passphrase or key is wrong, or the backup is damaged")]
    Closed,
    #[error("the backup was cut off or changed after byte {0}")]
    Damaged(u64),
    #[error("the passphrase cannot be used: it has 8 characters at least")]
    Passphrase,
    #[error("the system gives no random numbers")]
    Random,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How the key is made, and where the nonces begin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    key: KeyFrom,
    /// 19 bytes, base64.
    nonce: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum KeyFrom {
    Given,
    /// Memory in KiB, passes, salt in base64.
    Argon2id {
        memory: u32,
        passes: u32,
        salt: String,
    },
}

/// Encrypts what is written, chunk by chunk; [`Writer::finish`] makes it whole.
pub(super) struct Writer<W> {
    out: W,
    stream: EncryptorBE32<XChaCha20Poly1305>,
    header: Vec<u8>,
    chunk: Vec<u8>,
}

/// Decrypts what is read.
pub(super) struct Reader<R> {
    input: R,
    /// None after the last chunk.
    stream: Option<DecryptorBE32<XChaCha20Poly1305>>,
    header: Vec<u8>,
    /// Ciphertext that was read ahead: only the next byte tells whether a chunk is the last.
    ahead: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
    passed: u64,
}

const MAGIC: &[u8] = b"holm-backup 1\n";
/// Bytes of a header at most.
const MAX_HEADER: usize = 1024;
/// Plain bytes of a chunk.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const NONCE: usize = 19;
const LEAST_PASSPHRASE: usize = 8;
/// In KiB and passes: as long as one waits for a restore anyway, and longer than for a log-in.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a header may ask for, in KiB and passes: a foreign file must not take all memory.
const MOST: (u32, u32) = (1024 * 1024, 16);

// === impl Lock ===

impl Lock {
    const fn word(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::Key(_) => "key",
        }
    }

    fn key(&self, from: &KeyFrom) -> Result<Key, EnvelopeError> {
        match (self, from) {
            (Self::Key(key), KeyFrom::Given) => Ok(Key::from(*key)),
            (Self::Passphrase(phrase), KeyFrom::Argon2id { memory, passes, salt }) => {
                if *memory > MOST.0 || *passes > MOST.1 {
                    return Err(EnvelopeError::Header);
                }
                let salt = BASE64.decode(salt.as_bytes()).map_err(|_| EnvelopeError::Header)?;
                let params = Params::new(*memory, *passes, 1, Some(32)).map_err(|_| EnvelopeError::Header)?;
                let mut key = [0; 32];
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(phrase.as_bytes(), &salt, &mut key)
                    .map_err(|_| EnvelopeError::Header)?;
                Ok(Key::from(key))
            }
            (_, KeyFrom::Given) => Err(EnvelopeError::OtherLock("key")),
            (_, KeyFrom::Argon2id { .. }) => Err(EnvelopeError::OtherLock("passphrase")),
        }
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

// === impl Writer ===

impl<W: Write> Writer<W> {
    pub(super) fn new(mut out: W, lock: &Lock) -> Result<Self, EnvelopeError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| EnvelopeError::Random)?;
        let from = match lock {
            Lock::Key(_) => KeyFrom::Given,
            Lock::Passphrase(phrase) if phrase.chars().count() < LEAST_PASSPHRASE => {
                return Err(EnvelopeError::Passphrase);
            }
            Lock::Passphrase(_) => {
                let mut salt = [0; 16];
                getrandom::fill(&mut salt).map_err(|_| EnvelopeError::Random)?;
                KeyFrom::Argon2id { memory: MEMORY, passes: PASSES, salt: BASE64.encode(&salt) }
            }
        };
        let key = lock.key(&from)?;
        let mut header = MAGIC.to_vec();
        serde_json::to_writer(&mut header, &Header { key: from, nonce: BASE64.encode(&nonce) })
            .map_err(|_| EnvelopeError::Header)?;
        header.push(b'\n');
        out.write_all(&header)?;
        let stream = EncryptorBE32::from_aead(XChaCha20Poly1305::new(&key), (&nonce).into());
        Ok(Self { out, stream, header, chunk: Vec::with_capacity(CHUNK) })
    }

    /// The last chunk. Without it, the backup is cut off.
    pub(super) fn finish(mut self) -> Result<W, EnvelopeError> {
        let payload = Payload { msg: &self.chunk, aad: &self.header };
        let sealed = self.stream.encrypt_last(payload).map_err(|_| EnvelopeError::Closed)?;
        self.out.write_all(&sealed)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK {
            let payload = Payload { msg: &self.chunk, aad: &self.header };
            let sealed =
                self.stream.encrypt_next(payload).map_err(|_| io::Error::other("too much for one backup"))?;
            self.out.write_all(&sealed)?;
            self.chunk.clear();
        }
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Reader ===

impl<R: Read> Reader<R> {
    pub(super) fn new(mut input: R, lock: &Lock) -> Result<Self, EnvelopeError> {
        let mut magic = vec![0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|_| EnvelopeError::Foreign)?;
        if magic != MAGIC {
            return Err(EnvelopeError::Foreign);
        }
        let line = line(&mut input)?;
        let header: Header = serde_json::from_slice(&line).map_err(|_| EnvelopeError::Header)?;
        let nonce = BASE64.decode(header.nonce.as_bytes()).ok().and_then(|n| <[u8; NONCE]>::try_from(n).ok());
        let nonce = nonce.ok_or(EnvelopeError::Header)?;
        let cipher = XChaCha20Poly1305::new(&lock.key(&header.key)?);
        let stream = Some(DecryptorBE32::from_aead(cipher, (&nonce).into()));
        let header = [&magic[..], &line, b"\n"].concat();
        let mut reader =
            Self { input, stream, header, ahead: Vec::new(), plain: Vec::new(), at: 0, passed: 0 };
        reader.read_ahead()?;
        // The first chunk tells whether the key is right.
        reader.next_chunk().map_err(|_| EnvelopeError::Closed)?;
        Ok(reader)
    }

    /// Fills up to one byte more than a chunk.
    fn read_ahead(&mut self) -> io::Result<()> {
        let missing = (CHUNK + TAG + 1).saturating_sub(self.ahead.len());
        self.input.by_ref().take(missing as u64).read_to_end(&mut self.ahead).map(drop)
    }

    fn next_chunk(&mut self) -> Result<(), EnvelopeError> {
        self.read_ahead()?;
        let damaged = EnvelopeError::Damaged(self.passed);
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        let opened = if self.ahead.len() > CHUNK + TAG {
            let payload = Payload { msg: &self.ahead[..CHUNK + TAG], aad: &self.header };
            let opened = stream.decrypt_next(payload).map_err(|_| damaged)?;
            self.ahead.drain(..CHUNK + TAG);
            self.stream = Some(stream);
            opened
        } else {
            let payload = Payload { msg: &self.ahead, aad: &self.header };
            let opened = stream.decrypt_last(payload).map_err(|_| damaged)?;
            self.ahead.clear();
            opened
        };
        self.passed += opened.len() as u64;
        (self.plain, self.at) = (opened, 0);
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() && self.stream.is_some() {
            self.next_chunk().map_err(io::Error::other)?;
        }
        let taken = out.len().min(self.plain.len() - self.at);
        out[..taken].copy_from_slice(&self.plain[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// A line, without its end.
fn line(input: &mut impl Read) -> Result<Vec<u8>, EnvelopeError> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte).map_err(|_| EnvelopeError::Header)?;
        if byte == *b"\n" {
            return Ok(line);
        }
        line.push(byte[0]);
        if line.len() > MAX_HEADER {
            return Err(EnvelopeError::Header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Lock = Lock::Key([7; 32]);

    fn sealed(plain: &[u8], lock: &Lock) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), lock).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn opened(sealed: &[u8], lock: &Lock) -> Result<Vec<u8>, String> {
        let mut plain = Vec::new();
        let mut reader = Reader::new(sealed, lock).map_err(|e| e.to_string())?;
        reader.read_to_end(&mut plain).map_err(|e| e.to_string())?;
        Ok(plain)
    }

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            assert_eq!(opened(&sealed(&plain, &KEY), &KEY).unwrap(), plain, "{length}");
        }
    }

    #[test]
    fn a_passphrase_opens_what_it_closed() {
        let lock = |text: &str| Lock::Passphrase(text.to_owned());
        let sealed = sealed(b"store", &lock("correct horse"));
        assert_eq!(opened(&sealed, &lock("correct horse")).unwrap(), b"store");
        assert!(opened(&sealed, &lock("correct horsf")).unwrap_err().contains("wrong"));
        assert!(opened(&sealed, &KEY).unwrap_err().contains("passphrase"));
        assert!(Writer::new(Vec::new(), &lock("short")).is_err());
    }

    #[test]
    fn whatever_was_changed_or_cut_off_is_seen() {
        let plain = vec![1; 2 * CHUNK + 100];
        let whole = sealed(&plain, &KEY);
        for at in (0..whole.len()).step_by(997).chain([0, 14, 20, 60, whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(opened(&changed, &KEY).is_err(), "byte {at}");
        }
        let start = whole.len() - (100 + TAG) - 2 * (CHUNK + TAG);
        for end in [0, 5, start, start + CHUNK + TAG, start + 2 * (CHUNK + TAG), whole.len() - 1] {
            assert!(opened(&whole[..end], &KEY).is_err(), "cut at {end}");
        }
        let mut swapped = whole.clone();
        let (first, second) = (start, start + CHUNK + TAG);
        for n in 0..CHUNK + TAG {
            swapped.swap(first + n, second + n);
        }
        assert!(opened(&swapped, &KEY).is_err());
        assert!(opened(&[&whole[..], b"more"].concat(), &KEY).is_err());
    }

    #[test]
    fn a_foreign_header_takes_no_memory() {
        let greedy = br#"{"key":{"argon2id":{"memory":4294967295,"passes":4294967295,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}},"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAA=="}"#;
        let file = [MAGIC, greedy, b"\n", &[0; 100]].concat();
        let lock = Lock::Passphrase("correct horse".to_owned());
        assert!(opened(&file, &lock).unwrap_err().contains("header"));
        assert!(opened(b"PK\x03\x04 some zip file that is longer", &lock).unwrap_err().contains("no backup"));
        let endless = [MAGIC, &vec![b'x'; 1 << 20][..]].concat();
        assert!(opened(&endless, &lock).unwrap_err().contains("header"));
    }
}
