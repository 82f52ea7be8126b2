-- What each generation of an application said, so that people can see it and go back to it.
CREATE TABLE generation (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
