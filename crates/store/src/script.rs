//! Statements that go to SQLite's thread together: each trip there and back wakes two threads, which takes longer
//! than most statements do.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqliteConnection};

/// Statements that wait, with their values in order.
#[derive(Debug)]
pub(crate) struct Script<'c> {
    connection: &'c mut SqliteConnection,
    text: String,
    values: Vec<Value>,
    statements: usize,
    /// The row that was inserted last.
    last: i64,
}

/// A value of a statement.
#[derive(Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// Statements of one text: SQLite's thread keeps the texts of late prepared.
const MOST: usize = 12;

// === impl Script ===

impl<'c> Script<'c> {
    pub(crate) const fn new(connection: &'c mut SqliteConnection) -> Self {
        Self { connection, text: String::new(), values: Vec::new(), statements: 0, last: 0 }
    }

    /// Puts a statement behind those that wait; one value for each `?` of it.
    ///
    /// # Errors
    /// When there were enough to run them, and one failed.
    pub(crate) async fn add(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<(), sqlx::Error> {
        self.text.push_str(sql);
        self.text.push(';');
        self.values.extend(values);
        self.statements += 1;
        if self.statements == MOST { self.run().await.map(drop) } else { Ok(()) }
    }

    /// Runs what waits, up to the first statement that fails; tells the number of the row that was inserted last.
    pub(crate) async fn run(&mut self) -> Result<i64, sqlx::Error> {
        if self.text.is_empty() {
            return Ok(self.last);
        }
        self.statements = 0;
        let text = std::mem::take(&mut self.text);
        let mut arguments = SqliteArguments::default();
        for value in self.values.drain(..) {
            match value {
                Value::Int(number) => arguments.add(number),
                Value::Text(text) => arguments.add(text),
                Value::Blob(bytes) => arguments.add(bytes),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        let done = sqlx::query_with(AssertSqlSafe(text), arguments).execute(&mut *self.connection).await?;
        self.last = done.last_insert_rowid();
        Ok(self.last)
    }
}
