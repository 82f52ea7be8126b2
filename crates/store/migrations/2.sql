-- What members said of themselves, so that one that is away is known after a restart.
CREATE TABLE seen       (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE project    (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE person     (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- Secrets and plain files; what the store seals (see `seal`) is no JSON.
CREATE TABLE content    (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Each record's SHA-256 over the hash before it and its body; NULL in records of before there was a chain.
ALTER TABLE audit ADD COLUMN hash BLOB;
